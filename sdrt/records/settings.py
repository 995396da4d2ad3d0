"""Every setting that determines a picture, in one frozen record that can be stored and played back."""

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_origin

from sdrt.errors import ConfigError
from sdrt.images.inputs import Picture
from sdrt.records.formats import FORMAT, from_json_values, read_png_record, to_json_values, upgraded
from sdrt.records.playback import PICTURES, checked_picture, recorded_scheduler, recorded_stream
from sdrt.rng import NoiseStream

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Record the settings of one call of ``generate``, defaults filled in: the same model draws the same pictures from them.

    Parameters
    ----------
    prompt, negative_prompt : str
    seed : int
        The seed of the first image; image k has ``seed + k``.
    num_images : int, at least 1
    num_inference_steps : int, at least 1
    guidance_scale : float
        1 or less turns guidance off.
    guidance_rescale : float in [0, 1]
    guidance_batching : "batched" or "sequential"
        Whether the rows went through the U-Net together or one after the other.
    eta : float, at least 0
        The scheduler's amount of fresh noise; 0 if it has no such option.
    height, width : int (pixels)
    conditions : mapping
        Options of some models only: pictures as the SHA-256 of their pixels, strengths of ControlNets, SDXL's sizes, the start of the
        refiner.
    scheduler : str
        The name that the caller passed, else the class of the configuration.
    scheduler_config : mapping
        Every setting of the scheduler, in diffusers' keys.
    compat : "diffusers", "apple" or None
        The implementation whose known bugs the scheduler reproduces.
    rng : str
        The noise stream.
    sampler_rng : str or None
        The stream of the scheduler's fresh noise; None: each image's own stream.
    sampler_seed : int or None
        The seed of that stream; None: ``seed``.
    shared_streams : mapping
        The state of each option that was a stream object, at the start of the call. Empty: each image has its own stream.
    prompt_syntax : "weighted" or "plain"
        Whether brackets and ``BREAK`` in a prompt are syntax or text.
    long_prompts : "chunk" or "truncate"
    emphasis : "original" or "no_norm"
        How the weights of words are applied.
    clip_skip : int, at least 0
        How many of the text encoder's last layers were skipped.
    embeddings : mapping
        Tokens of textual inversion, with the SHA-256 of each file.
    model : str
    backend : mapping
        The backend that ran each component.
    numerics : "float32" or "float64"
    version : str
        The version of sdrt.
    remarks : mapping
        What was assumed, ignored or not understood, by topic; with Core ML also the backend's options and its rounding of inputs. Remarks
        decide no picture: records that differ in them alone are equal.
    scheduler_options : mapping
        Options of a scheduler object that its configuration does not hold: ``s_churn``, ``order`` and the like.
    vae_tiling : bool
        Whether large pictures were decoded tile by tile.
    weights : mapping
        A fingerprint of each component's weights: :func:`sdrt.models.fingerprint.fingerprint`.
    """

    prompt: str
    negative_prompt: str
    seed: int
    num_images: int
    num_inference_steps: int
    guidance_scale: float
    guidance_rescale: float
    guidance_batching: str
    eta: float
    height: int
    width: int
    conditions: Mapping[str, Any]
    scheduler: str
    scheduler_config: Mapping[str, Any]
    compat: str | None
    rng: str
    sampler_rng: str | None
    sampler_seed: int | None
    shared_streams: Mapping[str, Any]
    prompt_syntax: str
    long_prompts: str
    emphasis: str
    clip_skip: int
    embeddings: Mapping[str, str]
    model: str
    backend: Mapping[str, str]
    numerics: str
    version: str
    remarks: Mapping[str, str] = field(default_factory=dict, compare=False)
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    vae_tiling: bool = False
    weights: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, minimum in (
            ("seed", -math.inf),
            ("num_images", 1),
            ("num_inference_steps", 1),
            ("height", 1),
            ("width", 1),
            ("clip_skip", 0),
        ):
            value = _whole(getattr(self, name))
            if value is None or value < minimum:
                span = f" of at least {minimum}" if math.isfinite(minimum) else ""
                raise ConfigError(f"{name} must be a whole number{span}, got {getattr(self, name)!r}; pass such a number")
            object.__setattr__(self, name, value)
        if self.guidance_batching not in ("batched", "sequential"):
            raise ConfigError(f"guidance_batching must be 'batched' or 'sequential', got {self.guidance_batching!r}; choose one of those")
        if self.sampler_seed is not None and _whole(self.sampler_seed) is None:
            raise ConfigError(f"sampler_seed must be a whole number, got {self.sampler_seed!r}; leave it out for the image's own seed")
        for name, low, high in (("guidance_scale", -math.inf, math.inf), ("guidance_rescale", 0.0, 1.0), ("eta", 0.0, math.inf)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
                span = f" in [{low:g}, {high:g}]" if math.isfinite(high) else f" of at least {low:g}" if math.isfinite(low) else ""
                raise ConfigError(f"{name} must be a finite number{span}, got {value!r}; pass such a number")

    # ---- as JSON

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as values of strict JSON, which :meth:`from_dict` reads.

        JSON has no infinity: in a scheduler's configuration it becomes text that ``float()`` reads.
        """
        record = {"format": FORMAT} | asdict(self)
        for name in ("scheduler_config", "scheduler_options"):
            record[name] = to_json_values(record[name])
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read the result of :meth:`to_dict`, of this version of sdrt or an older one.

        Parameters
        ----------
        record : mapping
            Also after a round trip through JSON, or from the text ``sdrt`` in a PNG.

        Raises
        ------
        ConfigError : a field is missing, unknown or of another type, or only a newer sdrt reads the format

        >>> Settings.from_dict({"format": 3})
        Traceback (most recent call last):
        sdrt.errors.ConfigError: a record's format must be 1 to 2, got 3; update sdrt to read it
        """
        values = upgraded(record)
        known = {each.name: each for each in fields(cls)}
        if unknown := sorted(values.keys() - known.keys()):
            written = record.get("version")
            raise ConfigError(
                f"a record must have known fields, got {', '.join(unknown)}, written by sdrt {written}; update sdrt to read it"
            )
        needed = [name for name, each in known.items() if each.default_factory is MISSING and each.default is MISSING]
        if missing := [name for name in needed if name not in values]:
            raise ConfigError(f"a record must have the field {', '.join(missing)}, got none; take a whole record")
        for name, value in values.items():
            _check_type(name, value, known[name].type)
        for name in ("scheduler_config", "scheduler_options"):
            if name in values:
                values[name] = from_json_values(values[name])
        return cls(**values)

    @classmethod
    def from_png(cls, file: str | Path) -> Self:
        """Read the record inside a PNG that sdrt wrote.

        The record of one picture of a batch draws that picture alone; its last bits may round differently.

        Raises
        ------
        ImageError : the file cannot be read, or has no record
        ConfigError : as :meth:`from_dict`
        """
        return cls.from_dict(read_png_record(Path(file)))

    # ---- played back

    def options(
        self,
        *,
        image: Picture | None = None,
        mask_image: Picture | None = None,
        control_image: Picture | Sequence[Picture] | None = None,
        rng: NoiseStream | None = None,
        sampler_rng: NoiseStream | None = None,
    ) -> dict[str, Any]:
        """Return the arguments that draw these pictures again: ``pipe.generate(**settings.options())``.

        The pipeline must have the same model, backends and numerics. A record holds digests of input pictures and noise arrays, not the
        data itself: pass those again, and they are checked.

        Parameters
        ----------
        image, mask_image, control_image : Picture, or a sequence of them, optional
            The pictures that the record names.
        rng, sampler_rng : NoiseStream, optional
            A stream of the same arrays; it is restored to its recorded position.

        Returns
        -------
        dict
            Values of JSON, except for the arguments of this method.

        Raises
        ------
        ConfigError : an input that the record cannot recreate is not passed, or is not the recorded one
        """
        passed = {"image": image, "mask_image": mask_image, "control_image": control_image}
        if needless := [name for name, value in passed.items() if value is not None and name not in self.conditions]:
            raise ConfigError(f"pictures must be ones that the record names, got {', '.join(needless)} too; leave it out")
        pictures = {name: checked_picture(name, self.conditions[name], passed[name]) for name in PICTURES if name in self.conditions}
        streams = {"rng": rng, "sampler_rng": sampler_rng}
        if needless := [name for name, stream in streams.items() if stream is not None and name not in self.shared_streams]:
            raise ConfigError(f"streams must be ones that the record shares, got {', '.join(needless)} too; leave it out")
        shared = {name: recorded_stream(name, state, streams.get(name)) for name, state in self.shared_streams.items()}
        plain = {name: getattr(self, name) for name in _PLAIN_OPTIONS}
        scheduler = recorded_scheduler(self.scheduler, self.scheduler_config, self.scheduler_options)
        return {**plain, "scheduler": scheduler, **self.conditions, **pictures, **shared}


# The fields that are arguments of generate under the same names.
_PLAIN_OPTIONS = (
    "prompt",
    "negative_prompt",
    "seed",
    "num_images",
    "num_inference_steps",
    "guidance_scale",
    "guidance_rescale",
    "guidance_batching",
    "eta",
    "height",
    "width",
    "compat",
    "rng",
    "sampler_rng",
    "sampler_seed",
    "prompt_syntax",
    "long_prompts",
    "emphasis",
    "clip_skip",
)


def _check_type(name: str, value: object, annotation: Any) -> None:
    """Check the type of a field of a record; the settings check numbers themselves."""
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    allowed = tuple(get_origin(kind) or kind for kind in kinds)
    if not {int, float} & set(allowed) and not isinstance(value, allowed):
        names = " or ".join({Mapping: "a mapping", str: "text", bool: "true or false", NoneType: "null"}[kind] for kind in allowed)
        raise ConfigError(f"{name} must be {names}, got {value!r:.80}; take a whole record")


def _whole(value: object) -> int | None:
    """Return a Python int of any integer type, numpy's included, or None for anything else, bools included."""
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None

"""Every setting that determines a picture, in one frozen record that can be stored and played back."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.images.inputs import Picture
from sdrt.printable import shown
from sdrt.records.formats import FORMAT, from_json_values, read_record, to_json_values, upgraded
from sdrt.records.kinds import ARRAYS, CONDITION_KINDS, PER_IMAGE, PICTURES, PLAIN_OPTIONS, SETTING_KINDS, STREAM_KINDS
from sdrt.records.loras import LoraRecord
from sdrt.records.playback import checked_array, checked_picture, played_scheduler, recorded_scheduler, recorded_stream
from sdrt.rng import NoiseStream
from sdrt.values import FilePath, read_values

__all__ = ["Settings"]

_REPAIR = "take a whole record"


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
        Options of some models only: pictures as the SHA-256 of their pixels, strengths of ControlNets, SDXL's sizes and second prompts,
        the start of the refiner.
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
    prompt_syntax : "full", "weighted" or "plain"
        What is syntax in a prompt and not text: brackets with weights and ``BREAK``, and with "full" also texts that change during the
        run, and ``AND`` between the parts of a prompt.
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
    numerics : "float32", "float64" or "exact"
    version : str
        The version of sdrt.
    remarks : mapping
        What was assumed, ignored or not understood, by topic; with Core ML also the backend's options and its rounding of inputs. Remarks
        decide no picture: records that differ in them alone are equal.
    scheduler_options : mapping
        Options of a scheduler object that its configuration does not hold: ``s_churn``, ``order`` and the like.
    vae_tiling : bool
        Whether large pictures were decoded tile by tile.
    safety_checker : bool
        Whether a safety checker inspected the pictures.
    flagged_pictures : "black" or "blurred"
        What became of those that it flagged.
    weights : mapping
        A fingerprint of each component's weights: :func:`sdrt.models.fingerprint.fingerprint`.
    loras : mapping from name to LoraRecord
        The LoRAs that were merged into the weights: those of the pipeline, and those that the prompt names.
    prompts, negative_prompts : tuple of str
        Those of each image, where the call passed a list; ``prompt`` and ``negative_prompt`` are then the first. Empty: all images share
        one.
    seeds : tuple of int
        The same for seeds.
    subseed : int or None
        The seed of the noise that is mixed into that of the first image; image k has ``subseed + k``.
    subseed_strength : float in [0, 1]
        The share of that noise. Above 0, all images have ``seed``.
    seed_resize_from : (height, width) in pixels, or None
        The size whose noise stands in the middle of the image's own.
    revision : str
        The commit of the model's repository on the Hub; empty for a model from elsewhere. Two commits may hold the same weights.
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
    safety_checker: bool = False
    flagged_pictures: str = "black"
    weights: Mapping[str, str] = field(default_factory=dict)
    loras: Mapping[str, LoraRecord] = field(default_factory=dict)
    prompts: tuple[str, ...] = ()
    negative_prompts: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    subseed: int | None = None
    subseed_strength: float = 0.0
    seed_resize_from: tuple[int, int] | None = None
    revision: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, value in read_values("a record's ", own, SETTING_KINDS, _REPAIR).items():
            object.__setattr__(self, name, value)
        for group, kinds in (("conditions", CONDITION_KINDS), ("shared_streams", STREAM_KINDS)):
            held = getattr(self, group)
            if unknown := sorted(held.keys() - kinds.keys()):
                raise ConfigError(f"a record's {group} must be among {', '.join(kinds)}, got {shown(', '.join(unknown))}; {_REPAIR}")
            read_values("a record's ", held, kinds, _REPAIR)

        for name, first in (("prompts", self.prompt), ("negative_prompts", self.negative_prompt), ("seeds", self.seed)):
            if (each := getattr(self, name)) and (len(each) != self.num_images or each[0] != first):
                raise ConfigError(f"a record's {name} must be one for each of its {self.num_images} images, got {shown(each)}; {_REPAIR}")
        for name in ("prompt_2", "negative_prompt_2"):
            each = self.conditions.get(name, "")
            if not isinstance(each, str) and len(each) != self.num_images:
                raise ConfigError(f"a record's {name} must be one for each of its {self.num_images} images, got {shown(each)}; {_REPAIR}")

    # ---- the images of the call

    def image_seed(self, index: int) -> int:
        """Return the seed of one image."""
        if self.seeds:
            return self.seeds[index]
        return self.seed if self.subseed_strength else self.seed + index

    @property
    def image_seeds(self) -> tuple[int, ...]:
        """The seed of each image."""
        return tuple(map(self.image_seed, range(self.num_images)))

    @property
    def image_texts(self) -> tuple[tuple[str, str], ...]:
        """The prompt and the negative prompt of each image; one pair where all images share all their texts."""
        return self._pairs(self.prompts or self.prompt, self.negative_prompts or self.negative_prompt)

    @property
    def encoder_texts(self) -> tuple[tuple[tuple[str, str], tuple[str, str]], ...]:
        """For each of ``image_texts``, the pair of the first text encoder, and that of a second one."""
        prompts = self.conditions.get("prompt_2", self.prompts or self.prompt)
        negatives = self.conditions.get("negative_prompt_2", self.negative_prompts or self.negative_prompt)
        return tuple(zip(self.image_texts, self._pairs(prompts, negatives), strict=True))

    def _pairs(self, *texts: str | Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Return pairs of texts, each of which is one for all images, or one for each."""
        second = (self.conditions.get(name, "") for name in ("prompt_2", "negative_prompt_2"))
        several = self.prompts or self.negative_prompts or any(not isinstance(each, str) for each in second)
        count = self.num_images if several else 1
        prompts, negatives = ((each,) * count if isinstance(each, str) else each for each in texts)
        return tuple(zip(prompts, negatives, strict=True))

    def alone(self, index: int) -> Self:
        """Return the settings that draw one image of the call alone, where each image has a noise stream of its own.

        Parameters
        ----------
        index : int, 0 <= index < num_images
        """
        seed, texts = self.image_seed(index), self.image_texts
        prompt, negative_prompt = texts[index if len(texts) > 1 else 0]
        return replace(
            self,
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=seed,
            num_images=1,
            conditions={name: _of_image(name, value, index, self._adapters) for name, value in self.conditions.items()},
            sampler_seed=None if self.sampler_seed is None else self.sampler_seed + seed - self.seed,
            prompts=(),
            negative_prompts=(),
            seeds=(),
            subseed=None if self.subseed is None else self.subseed + index,
        )

    @property
    def _adapters(self) -> int:
        """How many T2I-Adapters act; 1 where the record does not say."""
        scales = self.conditions.get("adapter_conditioning_scale")
        return len(scales) if isinstance(scales, list) else 1

    # ---- as JSON

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as values of strict JSON, which :meth:`from_dict` reads.

        JSON has no infinity: in a scheduler's configuration it becomes text that ``float()`` reads.
        """
        record = {"format": FORMAT} | asdict(self)
        for name in ("scheduler_config", "scheduler_options"):
            record[name] = to_json_values(record[name])
        if not self.revision:
            # the record of a model that is no repository's is, byte for byte, that of versions without the field
            del record["revision"]
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

        >>> Settings.from_dict({"format": 4})
        Traceback (most recent call last):
        sdrt.errors.ConfigError: a record's format must be 1 to 3, got 4; update sdrt to read it
        """
        values = upgraded(record)
        known = {each.name: each for each in fields(cls)}
        if unknown := sorted(map(str, values.keys() - known.keys())):
            written = shown(record.get("version"))
            raise ConfigError(
                f"a record must have known fields, got {shown(', '.join(unknown))}, written by sdrt {written}; update sdrt to read it"
            )
        needed = [name for name, each in known.items() if each.default_factory is MISSING and each.default is MISSING]
        if missing := [name for name in needed if name not in values]:
            raise ConfigError(f"a record must have the field {', '.join(missing)}, got none; take a whole record")
        for name in ("scheduler_config", "scheduler_options"):
            if isinstance(values.get(name), Mapping):
                values[name] = from_json_values(values[name])
        return cls(**values)

    @classmethod
    def from_file(cls, file: str | Path) -> Self:
        """Read the record inside a PNG, JPEG or WebP that sdrt wrote.

        The record of one picture of a batch draws that picture alone; its last bits may round differently.

        Raises
        ------
        ImageError : the file cannot be read, or has no record
        ConfigError : as :meth:`from_dict`
        """
        return cls.from_dict(read_record(FilePath().check("file", file)))

    @classmethod
    def from_png(cls, file: str | Path) -> Self:
        """Read the record inside a picture: :meth:`from_file`, by the name that it had when all pictures were PNG."""
        return cls.from_file(file)

    # ---- played back

    def options(
        self,
        *,
        image: Picture | Sequence[Picture] | None = None,
        mask_image: Picture | Sequence[Picture] | None = None,
        control_image: Picture | Sequence[Picture] | None = None,
        adapter_image: Picture | Sequence[Picture] | None = None,
        ip_adapter_image: Picture | Sequence[Any] | None = None,
        ip_adapter_mask: Picture | Sequence[Any] | None = None,
        ip_adapter_image_embeds: Float | Sequence[Float] | None = None,
        region_mask: Picture | Sequence[Picture] | None = None,
        image_latents: Float | None = None,
        latents: Float | None = None,
        rng: NoiseStream | None = None,
        sampler_rng: NoiseStream | None = None,
    ) -> dict[str, Any]:
        """Return the arguments that draw these pictures again: ``pipe.generate(**settings.options())``.

        The pipeline must have the same model, backends and numerics. A record holds digests of input pictures and noise arrays, not the
        data itself: pass those again, and they are checked. Pictures whose paths were recorded (``record_paths``) are opened again.

        Parameters
        ----------
        image, mask_image, control_image, adapter_image, ip_adapter_image, ip_adapter_mask, region_mask : Picture, or sequence, optional
            The pictures that the record names; nested or not, in their order.
        image_latents, latents, ip_adapter_image_embeds : float[n,C,h,w], or a sequence of arrays, optional
            The arrays that the record names.
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
        passed: dict[str, Any] = {"image": image, "mask_image": mask_image, "control_image": control_image}
        passed |= {"region_mask": region_mask}
        passed |= {"adapter_image": adapter_image, "ip_adapter_image": ip_adapter_image, "ip_adapter_mask": ip_adapter_mask}
        # whole arrays, one for each adapter
        embeds: Any = ip_adapter_image_embeds
        embeds = embeds if embeds is None or isinstance(embeds, list | tuple) else [embeds]
        passed |= {"image_latents": image_latents, "latents": latents, "ip_adapter_image_embeds": embeds}
        if needless := [name for name, value in passed.items() if value is not None and name not in self.conditions]:
            raise ConfigError(f"pictures must be ones that the record names, got {', '.join(needless)} too; leave it out")
        paths = self.conditions.get("record_paths", {})
        pictures = {
            name: checked_picture(name, self.conditions[name], passed[name], paths.get(name))
            for name in PICTURES
            if name in self.conditions
        }
        if "record_paths" in self.conditions:
            pictures["record_paths"] = True
        pictures |= {name: checked_array(name, self.conditions[name], passed[name]) for name in ARRAYS if name in self.conditions}
        streams = {"rng": rng, "sampler_rng": sampler_rng}
        if needless := [name for name, stream in streams.items() if stream is not None and name not in self.shared_streams]:
            raise ConfigError(f"streams must be ones that the record shares, got {', '.join(needless)} too; leave it out")
        shared = {name: recorded_stream(name, state, streams.get(name)) for name, state in self.shared_streams.items()}
        plain = {name: getattr(self, name) for name in PLAIN_OPTIONS}
        lists = {"prompt": self.prompts, "negative_prompt": self.negative_prompts, "seed": self.seeds}
        plain |= {name: list(each) for name, each in lists.items() if each}
        if self.seed_resize_from is not None:
            plain["seed_resize_from"] = list(self.seed_resize_from)
        if self.seed < 0:
            # that of a stream which was passed as an object, and has it in its state
            del plain["seed"]
        scheduler = recorded_scheduler(self.scheduler, self.scheduler_config, self.scheduler_options)
        conditions = dict(self.conditions)
        if (second := conditions.get("hires_scheduler")) is not None:
            conditions["hires_scheduler"] = played_scheduler(second)
        return {**plain, "scheduler": scheduler, **conditions, **pictures, **shared}


def _of_image(name: str, value: Any, index: int, adapters: int) -> Any:
    """Return a condition as it is for one image of the call, which has so many T2I-Adapters."""
    if name == "record_paths":
        return {key: _of_image(key, each, index, adapters) for key, each in value.items()}
    if name == "adapter_image":
        images = len(value) // adapters
        return [value[adapter * images + index % images] for adapter in range(adapters)]
    if name == "ip_adapter_image":
        return [[images[index % len(images)]] for images in value]
    return value[index] if name in PER_IMAGE and isinstance(value, list) and index < len(value) else value

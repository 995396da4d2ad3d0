"""The conditions of a call besides its prompts: pictures, ControlNets, SDXL's sizes, the start of the refiner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdrt.arrays import Float, array_digest
from sdrt.errors import ConfigError
from sdrt.images.inputs import Picture, digest, path_of
from sdrt.models.families import MicroConditions
from sdrt.models.families.stable_diffusion_xl_refiner import STABLE_DIFFUSION_XL_REFINER
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.conditions.control import ControlSettings, resolve_control_settings
from sdrt.pipeline.conditions.source_choice import SourceChoice, choose_source, one_or_each, pictures_of
from sdrt.pipeline.options import GenerateOptions
from sdrt.schedulers import Compat

__all__ = ["ConditionChoices", "choose_conditions"]

_DEFAULT_REFINER_START = 0.8

_CONTROL_OPTIONS = ("controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end")
_SIZE_OPTIONS = ("original_size", "crops_coords_top_left", "target_size")
_SCORE_OPTIONS = ("aesthetic_score", "negative_aesthetic_score")


@dataclass(frozen=True, eq=False, kw_only=True)
class ConditionChoices:
    """Conditions that fit the pipeline, with pictures as the caller passed them.

    Parameters
    ----------
    source : SourceChoice or None
    latents : float[n,C,h,w] or None
        The caller's noise for the start.
    control_images : tuple of Picture
    control_settings : tuple of ControlSettings
        One for each picture.
    sizes : mapping
        The fields of `MicroConditions` that the caller set.
    refiner_start : float or None
        Fraction of the noise levels after which the refiner takes over; None without a refiner.
    record_paths : bool
        Whether the record names the files of the pictures.
    """

    source: SourceChoice | None
    latents: Float | None
    control_images: tuple[Picture, ...]
    control_settings: tuple[ControlSettings, ...]
    sizes: Mapping[str, Any]
    refiner_start: float | None
    record_paths: bool

    @property
    def paths(self) -> dict[str, Any]:
        """The file of each picture, None for one that has none; in the form of their digests in the record."""
        images, masks = ((), ()) if self.source is None else (self.source.images, self.source.masks)
        paths: dict[str, Any] = {
            name: one_or_each([path_of(picture) for picture in pictures])
            for name, pictures in (("image", images), ("mask_image", masks))
            if pictures
        }
        return paths | ({"control_image": [path_of(picture) for picture in self.control_images]} if self.control_images else {})

    def sizes_of(self, height: int, width: int) -> MicroConditions:
        """Return SDXL's micro-conditions of a picture of this size."""
        return MicroConditions(**{"original_size": (height, width), "target_size": (height, width), **self.sizes})

    def record(self) -> dict[str, Any]:
        """Return the choices as values of JSON, pictures by their digest."""
        values: dict[str, Any] = {} if self.source is None else self.source.record()
        if self.latents is not None:
            values["latents"] = one_or_each([array_digest(each) for each in self.latents])
        if self.control_images:
            values["control_image"] = [digest("control_image", picture) for picture in self.control_images]
            values["controlnet_conditioning_scale"] = [each.conditioning_scale for each in self.control_settings]
            values["control_guidance_start"] = [each.guidance_start for each in self.control_settings]
            values["control_guidance_end"] = [each.guidance_end for each in self.control_settings]
        if self.record_paths:
            values["record_paths"] = self.paths
        values |= {name: list(value) if isinstance(value, tuple) else value for name, value in self.sizes.items()}
        return values if self.refiner_start is None else values | {"refiner_start": self.refiner_start}


def choose_conditions(assembly: Assembly, options: GenerateOptions, compat: Compat) -> ConditionChoices:
    """Read the options that set conditions; ``compat`` is the sampler's.

    Raises
    ------
    ConfigError : an option does not fit this pipeline, is missing, or is out of range
    """
    base, count, refines = assembly.base, len(assembly.controlnets), assembly.refiner is not None
    _refuse(options, _SIZE_OPTIONS, "SDXL", fits=base.family.takes_sizes)
    refiner = "a pipeline with a refiner, sdrt.load(..., refiner=folder)"
    _refuse(options, _SCORE_OPTIONS, refiner, fits=refines or base.family is STABLE_DIFFUSION_XL_REFINER)
    _refuse(options, ("refiner_start",), refiner, fits=refines)
    _refuse(options, _CONTROL_OPTIONS, "a pipeline with a ControlNet, sdrt.load(..., controlnet=folder)", fits=bool(count))
    return ConditionChoices(
        source=choose_source(base, options, compat),
        latents=options.get("latents"),
        control_images=_control_images(options.get("control_image"), count),
        control_settings=resolve_control_settings(
            count,
            options.get("controlnet_conditioning_scale"),
            options.get("control_guidance_start"),
            options.get("control_guidance_end"),
        ),
        sizes={name: options[name] for name in (*_SIZE_OPTIONS, *_SCORE_OPTIONS) if name in options},  # type: ignore[literal-required]
        refiner_start=options.get("refiner_start", _DEFAULT_REFINER_START) if refines else None,
        record_paths=options.get("record_paths", False),
    )


def _control_images(value: Any, count: int) -> tuple[Picture, ...]:
    pictures = pictures_of(value)
    if len(pictures) != count:
        has = f"takes {count}" if count else "has no ControlNet: sdrt.load(..., controlnet=folder) gives it one"
        raise ConfigError(f"control_image must be a picture for each ControlNet, got {len(pictures)}; this pipeline {has}")
    return pictures


def _refuse(options: GenerateOptions, names: Sequence[str], whose: str, *, fits: bool) -> None:
    passed = [name for name in names if options.get(name) is not None]
    if passed and not fits:
        verb, them = ("is", "it") if len(passed) == 1 else ("are", "them")
        raise ConfigError(f"{', '.join(passed)} {verb} for {whose}; leave {them} out, or load such a model")

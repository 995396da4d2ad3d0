"""What a call chooses of its conditions beside the prompts: pictures, ControlNets, SDXL's sizes, the refiner's share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdrt.errors import ConfigError
from sdrt.images.inputs import Picture, digest
from sdrt.models.families import MicroConditions
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.conditions.control import ControlSettings, resolve_control_settings
from sdrt.pipeline.options import GenerateOptions

__all__ = ["ConditionChoices", "choose_conditions"]

_DEFAULT_REFINER_START = 0.8

_PICTURE_OPTIONS = ("image", "mask_image")
_CONTROL_OPTIONS = ("controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end")
_SIZE_OPTIONS = ("original_size", "crops_coords_top_left", "target_size")
_SCORE_OPTIONS = ("aesthetic_score", "negative_aesthetic_score")


@dataclass(frozen=True, eq=False, kw_only=True)
class ConditionChoices:
    """Conditions that fit the pipeline; pictures as they were given.

    Parameters
    ----------
    inpaint : (image, mask_image) or None
    control_images : tuple of Picture
    control_settings : tuple of ControlSettings
        One for each picture.
    sizes : mapping
        The fields of `MicroConditions` that were given.
    refiner_start : float
        Share of the noise levels after which the refiner takes over, where there is one.
    refines : bool
        Whether that share was given or is needed, and so stands in the record.
    """

    inpaint: tuple[Picture, Picture] | None
    control_images: tuple[Picture, ...]
    control_settings: tuple[ControlSettings, ...]
    sizes: Mapping[str, Any]
    refiner_start: float
    refines: bool

    def sizes_of(self, height: int, width: int) -> MicroConditions:
        """Return SDXL's micro-conditions of a picture of this size."""
        return MicroConditions(**{"original_size": (height, width), "target_size": (height, width), **self.sizes})

    def record(self) -> dict[str, Any]:
        """Return the choices as values of JSON, pictures by their digest."""
        values: dict[str, Any] = {}
        if self.inpaint is not None:
            values |= {name: digest(name, picture) for name, picture in zip(_PICTURE_OPTIONS, self.inpaint, strict=True)}
        if self.control_images:
            values["control_image"] = [digest("control_image", picture) for picture in self.control_images]
            values["controlnet_conditioning_scale"] = [each.conditioning_scale for each in self.control_settings]
            values["control_guidance_start"] = [each.guidance_start for each in self.control_settings]
            values["control_guidance_end"] = [each.guidance_end for each in self.control_settings]
        values |= {name: list(value) if isinstance(value, tuple) else value for name, value in self.sizes.items()}
        return values | {"refiner_start": self.refiner_start} if self.refines else values


def choose_conditions(assembly: Assembly, options: GenerateOptions) -> ConditionChoices:
    """Read the options of conditions.

    Raises
    ------
    ConfigError : an option that this pipeline has no use for, or one that it needs and lacks, or a value out of its range
    """
    base, count, refines = assembly.base, len(assembly.controlnets), assembly.refiner is not None
    _refuse(options, _PICTURE_OPTIONS, "a model that in-paints, of 9 channels", fits=base.inpaints)
    _refuse(options, _SIZE_OPTIONS, "SDXL", fits=base.family.takes_sizes)
    refining = (*_SCORE_OPTIONS, "refiner_start")
    _refuse(options, refining, "a pipeline with a refiner, sdrt.load(..., refiner=folder)", fits=refines or base.family.takes_sizes)
    _refuse(options, _CONTROL_OPTIONS, "a pipeline with a ControlNet, sdrt.load(..., controlnet=folder)", fits=bool(count))
    return ConditionChoices(
        inpaint=_inpaint(options) if base.inpaints else None,
        control_images=_control_images(options.get("control_image"), count),
        control_settings=resolve_control_settings(
            count,
            options.get("controlnet_conditioning_scale"),
            options.get("control_guidance_start"),
            options.get("control_guidance_end"),
        ),
        sizes=_sizes(options),
        refiner_start=_refiner_start(options.get("refiner_start")),
        refines=refines or options.get("refiner_start") is not None,
    )


def _inpaint(options: GenerateOptions) -> tuple[Picture, Picture]:
    image, mask_image = options.get("image"), options.get("mask_image")
    for name, picture in zip(_PICTURE_OPTIONS, (image, mask_image), strict=True):
        if picture is None:
            raise ConfigError(f"image and mask_image must be given to this model, which in-paints, got no {name}; pass both")
    return image, mask_image  # type: ignore[return-value]  # neither is None


def _control_images(given: Any, count: int) -> tuple[Picture, ...]:
    pictures: tuple[Picture, ...] = () if given is None else tuple(given) if isinstance(given, list | tuple) else (given,)
    if len(pictures) != count:
        has = f"has {count} ControlNets" if count else "has no ControlNet: sdrt.load(..., controlnet=folder) gives it one"
        raise ConfigError(f"control_image must be a picture for each ControlNet, got {len(pictures)}; this pipeline {has}")
    return pictures


def _sizes(options: GenerateOptions) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in _SIZE_OPTIONS:
        if (pair := options.get(name)) is not None:
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise ConfigError(f"{name} must be a pair of pixels, height or top first, got {pair!r}; write (1024, 1024)")
            given[name] = tuple(int(number) for number in pair)
    for name in _SCORE_OPTIONS:
        if (score := options.get(name)) is not None:
            given[name] = float(score)  # type: ignore[arg-type]
    return given


def _refiner_start(given: float | None) -> float:
    start = _DEFAULT_REFINER_START if given is None else float(given)
    if not 0 < start <= 1:
        raise ConfigError(f"refiner_start must be a share of the noise levels in (0, 1], got {start}; 0.8 is usual")
    return start


def _refuse(options: GenerateOptions, names: Sequence[str], whose: str, *, fits: bool) -> None:
    given = [name for name in names if options.get(name) is not None]
    if given and not fits:
        raise ConfigError(f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for {whose}; leave it out, or load such a model")

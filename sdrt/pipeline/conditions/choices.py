"""The conditions of a call besides its prompts: pictures, ControlNets, SDXL's sizes, the start of the refiner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdrt.arrays import Float, array_digest
from sdrt.errors import ConfigError
from sdrt.images.inputs import path_of
from sdrt.models.families import MicroConditions
from sdrt.models.families.stable_diffusion_xl_refiner import STABLE_DIFFUSION_XL_REFINER
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.conditions.adapter_choice import AdapterChoice, choose_adapters, record_adapters
from sdrt.pipeline.conditions.control_choice import ControlChoice, choose_controls, pictures_given, record_controls
from sdrt.pipeline.conditions.image_prompt_choice import (
    ImagePromptChoice,
    choose_image_prompts,
    image_prompt_pictures,
    record_image_prompts,
)
from sdrt.pipeline.conditions.regions import RegionChoice, choose_regions, record_regions
from sdrt.pipeline.conditions.source_choice import SourceChoice, choose_source, one_or_each
from sdrt.pipeline.options import GenerateOptions
from sdrt.records.kinds import ADAPTER_OPTIONS, CONTROL_OPTIONS
from sdrt.schedulers import Compat

__all__ = ["ConditionChoices", "choose_conditions"]

_DEFAULT_REFINER_START = 0.8

_WHOLE_MASKS = ("region_mask", "ip_adapter_mask")
_SECOND_TEXTS = ("prompt_2", "negative_prompt_2")

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
    controls : tuple of ControlChoice
        One for each ControlNet.
    adapters : tuple of AdapterChoice
        One for each T2I-Adapter.
    image_prompts : tuple of ImagePromptChoice
        One for each IP-Adapter.
    regions : tuple of RegionChoice
    sizes : mapping
        The fields of `MicroConditions` that the caller set.
    refiner_start : float or None
        Fraction of the noise levels after which the refiner takes over; None without a refiner.
    record_paths : bool
        Whether the record names the files of the pictures.
    """

    source: SourceChoice | None
    latents: Float | None
    controls: tuple[ControlChoice, ...]
    adapters: tuple[AdapterChoice, ...]
    image_prompts: tuple[ImagePromptChoice, ...]
    regions: tuple[RegionChoice, ...]
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
        followed = {
            "control_image": pictures_given(self.controls),
            "adapter_image": [picture for choice in self.adapters for picture in choice.pictures],
            "region_mask": [choice.mask for choice in self.regions],
        }
        paths |= {name: [path_of(picture) for picture in pictures] for name, pictures in followed.items() if pictures}
        if any(choice.pictures for choice in self.image_prompts):
            adapters = image_prompt_pictures(self.image_prompts)
            paths["ip_adapter_image"] = [[list(map(path_of, together)) for together in images] for images in adapters]
        if any(choice.masks for choice in self.image_prompts):
            paths["ip_adapter_mask"] = [list(map(path_of, choice.masks)) for choice in self.image_prompts]
        return paths

    @property
    def counts(self) -> dict[str, int]:
        """How many of each input there are: one for all images of the call, or one for each."""
        counts = {} if self.source is None else self.source.counts
        counts |= {"adapter_image": len(self.adapters[0].pictures)} if self.adapters else {}
        looked_at = max((len(choice.pictures) for choice in self.image_prompts), default=1)
        return counts | ({"ip_adapter_image": looked_at} if looked_at > 1 else {})

    def sizes_of(self, height: int, width: int) -> MicroConditions:
        """Return SDXL's micro-conditions of a picture of this size."""
        return MicroConditions(**{"original_size": (height, width), "target_size": (height, width), **self.sizes})

    def record(self) -> dict[str, Any]:
        """Return the choices as values of JSON, pictures by their digest."""
        values: dict[str, Any] = {} if self.source is None else self.source.record()
        if self.latents is not None:
            values["latents"] = one_or_each([array_digest(each) for each in self.latents])
        values |= record_controls(self.controls) | record_adapters(self.adapters) | record_image_prompts(self.image_prompts)
        values |= record_regions(self.regions)
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
    base, refines = assembly.base, assembly.refiner is not None
    _refuse(options, _SECOND_TEXTS, "a model with two text encoders (SDXL)", fits=len(base.family.text_encoders) > 1)
    _refuse(options, _SIZE_OPTIONS, "SDXL", fits=base.family.takes_sizes)
    refiner = "a pipeline with a refiner, sdrt.load(..., refiner=folder)"
    _refuse(options, _SCORE_OPTIONS, refiner, fits=refines or base.family is STABLE_DIFFUSION_XL_REFINER)
    _refuse(options, ("refiner_start",), refiner, fits=refines)
    controlled = "a pipeline with a ControlNet, sdrt.load(..., controlnet=folder)"
    _refuse(options, CONTROL_OPTIONS, controlled, fits=bool(assembly.controlnets))
    _refuse(options, ADAPTER_OPTIONS, "a pipeline with a T2I-Adapter, sdrt.load(..., t2i_adapter=folder)", fits=bool(assembly.t2i_adapters))
    source = choose_source(base, options, compat)
    # these lie on the whole picture, and the part that is drawn is found when its pixels are read
    masks = [name for name in _WHOLE_MASKS if options.get(name) is not None]
    if masks and source is not None and source.only_masked:
        raise ConfigError(
            f"{' and '.join(masks)} must be left out with only_masked, which draws a part of the picture; leave one of them out"
        )
    return ConditionChoices(
        source=source,
        latents=options.get("latents"),
        controls=choose_controls(assembly.controlnets, options, assembly.functions, changes_picture=bool(source and source.images)),
        adapters=choose_adapters(assembly.t2i_adapters, options),
        image_prompts=choose_image_prompts(assembly.image_prompter, base.model.config("unet"), options),
        regions=choose_regions(options),
        sizes={name: options[name] for name in (*_SIZE_OPTIONS, *_SCORE_OPTIONS) if name in options},  # type: ignore[literal-required]
        refiner_start=options.get("refiner_start", _DEFAULT_REFINER_START) if refines else None,
        record_paths=options.get("record_paths", False),
    )


def _refuse(options: GenerateOptions, names: Sequence[str], whose: str, *, fits: bool) -> None:
    passed = [name for name in names if options.get(name) is not None]
    if passed and not fits:
        verb, them = ("is", "it") if len(passed) == 1 else ("are", "them")
        raise ConfigError(f"{', '.join(passed)} {verb} for {whose}; leave {them} out, or load such a model")

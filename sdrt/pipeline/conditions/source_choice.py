"""What a call changes: its pictures or latents, their masks, and how far a run goes from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sdrt.arrays import Float, array_digest
from sdrt.errors import ConfigError
from sdrt.images.inputs import Picture, digest
from sdrt.images.modes import WHITE
from sdrt.images.sizes import Resize
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.options import GenerateOptions, MaskedContent, MaskMode
from sdrt.records.kinds import MASK_OPTIONS, PICTURE_OPTIONS
from sdrt.schedulers import Compat

__all__ = ["PADDING", "SourceChoice", "choose_source", "one_or_each", "pictures_of"]

# Of diffusers 0.42.1's pipelines: image to image, and in-painting.
_STRENGTH, _INPAINT_STRENGTH = 0.8, 1.0

_OF_SOURCES = ("mask_image", "strength")
_OF_REGIONS = ("only_masked", "only_masked_padding")

# Pixels around the mask: AUTOMATIC1111's web UI's.
PADDING = 32

T = TypeVar("T")


@dataclass(frozen=True, eq=False, kw_only=True)
class SourceChoice:
    """What a run starts from, as the caller passed it.

    Parameters
    ----------
    images : tuple of Picture
        One for all images of the call, or one for each; empty where latents take their place.
    latents : float[1 or n,C,h,w] or None
    masks : tuple of Picture
        The same for masks; empty for image to image.
    strength : float in (0, 1]
        The share of the steps that is made.
    mask_mode : MaskMode
    paste : bool
        Whether kept pixels are put back into the drawn picture.
    resize : Resize
    background : str, as #rrggbb
    mask_blur : float (pixels)
    masked_content : MaskedContent
    only_masked : bool
    only_masked_padding : int (pixels)
    """

    images: tuple[Picture, ...]
    latents: Float | None
    masks: tuple[Picture, ...]
    strength: float
    mask_mode: MaskMode
    paste: bool
    resize: Resize
    background: str
    mask_blur: float
    masked_content: MaskedContent
    only_masked: bool
    only_masked_padding: int

    @property
    def counts(self) -> dict[str, int]:
        """How many of each input there are: one for all images of the call, or one for each."""
        counts = {"image": len(self.images), "mask_image": len(self.masks)}
        return counts if self.latents is None else counts | {"image_latents": len(self.latents)}

    def record(self) -> dict[str, Any]:
        """Return the choice as values of JSON, pictures and latents by their digest."""
        values: dict[str, Any] = {"strength": self.strength}
        if self.images:
            values["image"] = one_or_each([digest("image", picture) for picture in self.images])
            values |= {"resize": self.resize, "background": self.background}
        if self.latents is not None:
            values["image_latents"] = one_or_each([array_digest(each) for each in self.latents])
        if self.masks:
            values["mask_image"] = one_or_each([digest("mask_image", picture) for picture in self.masks])
            names = MASK_OPTIONS if self.images else [name for name in MASK_OPTIONS if name not in _OF_REGIONS]
            values |= {name: getattr(self, name) for name in names}
        return values


def choose_source(model: LoadedModel, options: GenerateOptions, compat: Compat) -> SourceChoice | None:
    """Read the options that say what a run starts from; None for a run that starts from noise alone.

    Parameters
    ----------
    model : LoadedModel
    options : GenerateOptions
    compat : Compat
        Apple's package ignores a picture at strength 1; diffusers' pipelines paste nothing back.

    Raises
    ------
    ConfigError : an option lacks another that it needs, or does not fit the model
    """
    images, masks = _some("image", options.get("image")), _some("mask_image", options.get("mask_image"))
    latents = options.get("image_latents")
    if images and latents is not None:
        raise ConfigError("image and image_latents must not both be set, got both; leave one of them out")
    if model.inpaints and not (images and masks):
        got = "no mask_image" if images else "no image"
        raise ConfigError(f"image and mask_image must be set for this in-painting model, got {got}; pass both")
    if not images and latents is None:
        _refuse(options, (*_OF_SOURCES, *PICTURE_OPTIONS, *MASK_OPTIONS), "image or image_latents")
        return None
    if not images:
        _refuse(options, (*PICTURE_OPTIONS, *_OF_REGIONS), "image")
        if options.get("masked_content") == "fill":
            raise ConfigError("masked_content must be 'original' or 'noise' with image_latents, got 'fill'; pass image in their place")
    if not masks:
        _refuse(options, MASK_OPTIONS, "mask_image")
    strength = options.get("strength") or (_INPAINT_STRENGTH if masks else _STRENGTH)
    if compat == "apple" and strength == 1 and not masks:
        return None
    if images and "vae_encoder" not in model.model.components:
        raise ConfigError(
            f"image must be left out for {model.model.name}, which has no vae_encoder, got {len(images)}; pass image_latents, or add one"
        )
    return SourceChoice(
        images=images,
        latents=latents,
        masks=masks,
        strength=strength,
        mask_mode=options.get("mask_mode") or "binary",
        resize=options.get("resize") or "stretch",
        background=options.get("background") or WHITE,  # type: ignore[arg-type]  # the kind makes text of it
        mask_blur=options.get("mask_blur") or 0.0,
        masked_content=options.get("masked_content") or "original",
        only_masked=options.get("only_masked") or False,
        only_masked_padding=PADDING if (padding := options.get("only_masked_padding")) is None else padding,
        # diffusers lets all pixels come through the autoencoder
        paste=bool(images) and bool(options.get("paste", compat != "diffusers")),
    )


def pictures_of(value: Picture | Sequence[Picture] | None) -> tuple[Picture, ...]:
    """Return one picture, or some, as a tuple."""
    return () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)  # type: ignore[return-value]


def _some(name: str, value: Picture | Sequence[Picture] | None) -> tuple[Picture, ...]:
    if (pictures := pictures_of(value)) or value is None:
        return pictures
    raise ConfigError(f"{name} must be a picture or a list of them, got an empty list; leave it out")


def one_or_each(values: list[T]) -> T | list[T]:
    """Return the one value, or all of them: the form of what a record has for all images, or for each."""
    return values[0] if len(values) == 1 else values


def _refuse(options: GenerateOptions, names: Sequence[str], wanted: str) -> None:
    if passed := [name for name in names if options.get(name) is not None]:
        verb, them = ("needs", "it") if len(passed) == 1 else ("need", "them")
        raise ConfigError(f"{', '.join(passed)} {verb} {wanted}, got none; pass one, or leave {them} out")

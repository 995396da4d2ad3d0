"""What a run changes, at its size: pictures or latents to start from, and masks of what is drawn anew."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import F32, Float
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.images.inputs import Picture, to_rgb, to_soft_mask, to_unit
from sdrt.images.masks import Box, blur, crop_region, fill, paste, to_latent_mask
from sdrt.images.png import to_pil
from sdrt.pipeline.conditions.source_choice import SourceChoice

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Region", "Source", "SourcePicture", "binary_mask", "read_source"]


@dataclass(frozen=True, eq=False)
class Region:
    """The part of a whole picture that is drawn in its place.

    Parameters
    ----------
    image : PIL.Image.Image, RGB
        The whole picture.
    mask : f32[1,1,H,W]
        As large as the whole picture.
    box : Box
        In pixels of the whole picture.
    """

    image: "Image"
    mask: F32
    box: Box

    def paste(self, drawn: "Image") -> "Image":
        """Put the drawn region back: outside the mask, the bytes are those of the whole picture."""
        return paste(self.image, drawn, self.mask, self.box)


@dataclass(frozen=True, eq=False)
class SourcePicture:
    """A picture and its mask, at the size of the run.

    Parameters
    ----------
    pixels : f32[1,3,H,W] in [-1, 1]
    soft_mask : f32[1,1,H,W] in [0, 1], or None
        How white the mask is; None for image to image.
    region : Region or None
        Where the two were cut out of; None for a whole picture.
    """

    pixels: F32
    soft_mask: F32 | None = None
    region: Region | None = None

    @property
    def masked(self) -> F32:
        """The picture, grey where it is drawn anew: where the mask is at least half white."""
        return self.pixels if self.soft_mask is None else self.pixels * (self.soft_mask < 0.5)

    @property
    def filled(self) -> F32:
        """The picture, with the colours around the mask in place of what is under it."""
        if self.soft_mask is None:
            return self.pixels
        [image] = to_pil(self.pixels)
        hole = _grey_image(self.soft_mask)
        filled = np.asarray(fill(image, hole), np.float32).transpose(2, 0, 1)[None] / np.float32(127.5) - 1
        # the kept part as it is, to the last bit
        return np.where(self.soft_mask > 0, filled, self.pixels)

    def paste(self, drawn: "Image") -> "Image":
        """Put the kept pixels back into a picture that was drawn: where the mask is black, the bytes are those of the input picture.

        Where the mask is grey the two are mixed in its proportion, as diffusers' ``VaeImageProcessor.apply_overlay`` and AUTOMATIC1111's
        web UI do, so that a soft edge leaves no seam.
        """
        if self.soft_mask is None:
            return drawn
        if self.region is not None:
            return self.region.paste(drawn)
        [image] = to_pil(self.pixels)
        return paste(image, drawn, self.soft_mask, (0, 0, *image.size))


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """What a run changes.

    Parameters
    ----------
    choice : SourceChoice
    pictures : tuple of SourcePicture
        One for all images, or one for each; empty where latents take their place.
    latents : float[1 or n,C,h,w] or None
    soft_masks : tuple of f32[1,1,H,W] in [0, 1]
        One for all images, or one for each; empty for image to image.
    starts_from_noise : bool
        Whether the first sample is noise alone: in-painting with all steps, as in diffusers. Image to image with all steps, and a map of
        strengths, start from the picture under the most noise.
    keeps : bool
        Whether the kept part is put back after each call; a U-Net that in-paints keeps it by itself.
    functions : Functions
        That means of masks and deviations of latents are computed with.
    """

    choice: SourceChoice
    pictures: tuple[SourcePicture, ...]
    latents: Float | None
    soft_masks: tuple[F32, ...]
    starts_from_noise: bool
    keeps: bool
    functions: Functions

    @property
    def needs_latents(self) -> bool:
        """Whether the run needs the latents of the pictures, and not only their pixels."""
        return self.keeps or not self.starts_from_noise

    @property
    def contents(self) -> list[F32]:
        """The pictures to start from, each f32[1,3,H,W] in [-1, 1]."""
        filled = self.choice.masked_content == "fill"
        return [picture.filled if filled else picture.pixels for picture in self.pictures]

    def latent_mask(self, pixels: int) -> F32:
        """Return what share of each latent, of ``pixels`` x ``pixels`` pixels, is drawn anew: f32[1 or n,1,h,w]."""
        if self.choice.mask_mode == "binary":
            return np.concatenate([binary_mask(mask, pixels) for mask in self.soft_masks])
        return np.concatenate([to_latent_mask(mask, pixels, "area", self.functions) for mask in self.soft_masks])

    def paste(self, drawn: "Image", index: int) -> "Image":
        """Put the kept pixels back into image ``index`` of the call."""
        return self.pictures[index % len(self.pictures)].paste(drawn) if self.choice.paste else drawn


def binary_mask(soft_mask: F32, pixels: int) -> F32:
    """Return 1 for each latent that is drawn anew, where the mask is at least half white, else 0: f32[1,1,h,w]."""
    return (to_latent_mask(soft_mask, pixels, "nearest") >= 0.5).astype(np.float32)


def read_source(choice: SourceChoice, height: int, width: int, *, inpaints: bool, functions: Functions = PLATFORM) -> Source:
    """Scale pictures and masks to the size of the run, or cut out what is drawn.

    Parameters
    ----------
    choice : SourceChoice
    height, width : int (pixels)
        Of the run.
    inpaints : bool
        Whether the U-Net takes the mask and the masked picture as inputs.
    functions : Functions

    Raises
    ------
    ImageError : neither a PIL image nor an array of bytes, or a black mask where only what it covers is to be drawn
    """
    images, masks = choice.images, choice.masks
    pictures: tuple[SourcePicture, ...] = ()
    if images:
        pairs = [(images[k % len(images)], masks[k % len(masks)] if masks else None) for k in range(max(len(images), len(masks)))]
        pictures = tuple(_read(image, mask, choice, height, width) for image, mask in pairs)
        soft_masks = tuple(picture.soft_mask for picture in pictures if picture.soft_mask is not None)
    else:
        soft_masks = tuple(blur(to_soft_mask("mask_image", mask, height, width), choice.mask_blur) for mask in masks)
    # a map of strengths is image to image, each cell from the picture under the noise of its own step
    shows_picture = choice.masked_content == "fill" or (choice.masked_content == "original" and choice.mask_mode == "strength")
    return Source(
        choice=choice,
        pictures=pictures,
        latents=choice.latents,
        soft_masks=soft_masks,
        starts_from_noise=choice.strength == 1 and bool(masks) and not shows_picture,
        keeps=bool(masks) and not (inpaints and choice.mask_mode == "binary"),
        functions=functions,
    )


def _read(image: Picture, mask: Picture | None, choice: SourceChoice, height: int, width: int) -> SourcePicture:
    if mask is not None and choice.only_masked:
        return _read_region(image, mask, choice, height, width)
    pixels = 2 * to_unit("image", image, height, width, choice.resize, choice.background) - 1
    if mask is None:
        return SourcePicture(pixels)
    whole = to_rgb("image", image, choice.background)
    own = (whole.height, whole.width)
    if not choice.mask_blur:
        return SourcePicture(pixels, to_soft_mask("mask_image", mask, height, width, choice.resize, own))
    blurred = _grey_image(blur(to_soft_mask("mask_image", mask, *own), choice.mask_blur))
    return SourcePicture(pixels, to_soft_mask("mask_image", blurred, height, width, choice.resize))


def _read_region(image: Picture, mask: Picture, choice: SourceChoice, height: int, width: int) -> SourcePicture:
    whole = to_rgb("image", image, choice.background)
    soft = blur(to_soft_mask("mask_image", mask, whole.height, whole.width), choice.mask_blur)
    box = crop_region(soft, height, width, choice.only_masked_padding)
    pixels = 2 * to_unit("image", whole.crop(box), height, width, "fit") - 1
    return SourcePicture(pixels, to_soft_mask("mask_image", _grey_image(soft).crop(box), height, width, "fit"), Region(whole, soft, box))


def _grey_image(mask: F32) -> "Image":
    from PIL import Image

    return Image.fromarray(np.rint(mask[0, 0] * 255).astype(np.uint8))

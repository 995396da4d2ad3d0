"""What a run changes, at its size: pictures or latents to start from, and masks of what is drawn anew."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import F32, Float
from sdrt.images.inputs import to_soft_mask, to_unit
from sdrt.pipeline.conditions.source_choice import SourceChoice
from sdrt.pipeline.masks import binary_latent_mask, mean_latent_mask
from sdrt.schedulers import Compat

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Source", "SourcePicture", "read_source"]


@dataclass(frozen=True, eq=False)
class SourcePicture:
    """A picture and its mask, at the size of the run.

    Parameters
    ----------
    pixels : f32[1,3,H,W] in [-1, 1]
    soft_mask : f32[1,1,H,W] in [0, 1], or None
        How white the mask is; None for image to image.
    """

    pixels: F32
    soft_mask: F32 | None

    @property
    def masked(self) -> F32:
        """The picture, grey where it is drawn anew: where the mask is at least half white."""
        return self.pixels if self.soft_mask is None else self.pixels * (self.soft_mask < 0.5)

    def paste(self, drawn: "Image") -> "Image":
        """Put the kept pixels back into a picture that was drawn: where the mask is black, the bytes are those of the input picture.

        Where the mask is grey the two are mixed in its proportion, as diffusers' ``VaeImageProcessor.apply_overlay`` and AUTOMATIC1111's
        web UI do, so that a soft edge leaves no seam.
        """
        from PIL import Image

        if self.soft_mask is None:
            return drawn
        redrawn = self.soft_mask[0, 0, :, :, None]
        pixels = np.rint((self.pixels[0].transpose(1, 2, 0) + 1) * np.float32(127.5))
        mixed = pixels * (1 - redrawn) + np.asarray(drawn, np.float32) * redrawn
        return Image.fromarray(np.rint(mixed).astype(np.uint8))


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
        Whether the first sample is noise alone: in-painting with all steps, as in diffusers. Image to image with all steps starts from the
        picture under the most noise.
    keeps : bool
        Whether the kept part is put back after each call; a U-Net that in-paints keeps it by itself.
    """

    choice: SourceChoice
    pictures: tuple[SourcePicture, ...]
    latents: Float | None
    soft_masks: tuple[F32, ...]
    starts_from_noise: bool
    keeps: bool

    @property
    def needs_latents(self) -> bool:
        """Whether the run needs the latents of the pictures, and not only their pixels."""
        return self.keeps or not self.starts_from_noise

    def latent_mask(self, pixels: int) -> F32:
        """Return what share of each latent, of ``pixels`` x ``pixels`` pixels, is drawn anew: f32[1 or n,1,h,w]."""
        shrink = binary_latent_mask if self.choice.mask_mode == "binary" else mean_latent_mask
        return np.concatenate([shrink(mask, pixels) for mask in self.soft_masks])

    def paste(self, drawn: "Image", index: int) -> "Image":
        """Put the kept pixels back into image ``index`` of the call."""
        return self.pictures[index % len(self.pictures)].paste(drawn) if self.choice.paste else drawn


def read_source(choice: SourceChoice, height: int, width: int, *, inpaints: bool, compat: Compat) -> Source:
    """Resize pictures and masks.

    Parameters
    ----------
    choice : SourceChoice
    height, width : int (pixels)
        Of the run.
    inpaints : bool
        Whether the U-Net takes the mask and the masked picture as inputs.
    compat : Compat
        Apple's package ignores a picture at strength 1.

    Raises
    ------
    ImageError : neither a PIL image nor an array of bytes
    """
    pixels = [2 * to_unit("image", image, height, width) - 1 for image in choice.images]
    masks = tuple(to_soft_mask("mask_image", mask, height, width) for mask in choice.masks)
    count = max(len(pixels), len(masks)) if pixels else 0
    pictures = tuple(SourcePicture(pixels[k % len(pixels)], masks[k % len(masks)] if masks else None) for k in range(count))
    return Source(
        choice=choice,
        pictures=pictures,
        latents=choice.latents,
        soft_masks=masks,
        starts_from_noise=choice.strength == 1 and (bool(masks) or compat == "apple"),
        keeps=bool(masks) and not (inpaints and choice.mask_mode == "binary"),
    )

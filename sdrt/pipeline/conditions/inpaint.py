"""In-painting with a U-Net of 9 channels, which also takes the mask and the latents of the picture outside the mask."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import F32, Float
from sdrt.backends.pool import NetworkPool
from sdrt.images.inputs import Picture, to_soft_mask, to_unit
from sdrt.models.families import LatentFormat
from sdrt.pipeline.conditions.pictures import sample_posterior

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["InpaintPictures", "inpaint_channels", "inpaint_pictures"]


@dataclass(frozen=True, eq=False)
class InpaintPictures:
    """A picture and its mask, resized to the size of the run.

    Parameters
    ----------
    image : f32[1,3,H,W] in [-1, 1]
    soft_mask : f32[1,1,H,W] in [0, 1]
        How white the mask is.
    """

    image: F32
    soft_mask: F32

    @property
    def mask(self) -> F32:
        """The mask as the denoiser sees it: 1 where at least half white, and the picture is redrawn, else 0; f32[1,1,H,W]."""
        return (self.soft_mask >= 0.5).astype(np.float32)

    def paste(self, drawn: "Image") -> "Image":
        """Put the kept pixels back into a picture that was drawn: where the mask is black, the bytes are those of the input picture.

        Where the mask is grey the two are mixed in its proportion, as diffusers' ``VaeImageProcessor.apply_overlay`` and AUTOMATIC1111's
        web UI do, so that a soft edge leaves no seam.
        """
        from PIL import Image

        redrawn = self.soft_mask[0, 0, :, :, None]
        pixels = np.rint((self.image[0].transpose(1, 2, 0) + 1) * np.float32(127.5))
        mixed = pixels * (1 - redrawn) + np.asarray(drawn, np.float32) * redrawn
        return Image.fromarray(np.rint(mixed).astype(np.uint8))


def inpaint_pictures(image: Picture, mask_image: Picture, height: int, width: int) -> InpaintPictures:
    """Resize a picture and its mask.

    Raises
    ------
    ImageError : neither a PIL image nor an array of bytes
    """
    return InpaintPictures(2 * to_unit("image", image, height, width) - 1, to_soft_mask("mask_image", mask_image, height, width))


def inpaint_channels(networks: NetworkPool, pictures: InpaintPictures, noise: Float, latent_format: LatentFormat) -> Float:
    """Return the channels to append to every sample.

    Parameters
    ----------
    noise : float32[n,C,h,w]
        Noise for the posterior of the masked picture.
    latent_format : LatentFormat

    Returns
    -------
    float[n,1 + C,h,w]: the mask, then the masked picture's latents

    Source: diffusers 0.42.1 ``StableDiffusionInpaintPipeline.prepare_mask_latents``.
    """
    mask = pictures.mask
    with networks.using("vae_encoder") as encoder:
        moments = encoder(x=(pictures.image * (mask < 0.5)).astype(encoder.float_dtype()))["moments"]
    latents = latent_format.to_denoiser(sample_posterior(moments, noise))
    # torch's "nearest" takes the upper left pixel of each block
    small = mask[:, :, :: latent_format.pixels, :: latent_format.pixels]
    return np.concatenate([np.repeat(small, len(latents), axis=0).astype(latents.dtype), latents], axis=1)

"""In-painting with a U-Net of 9 channels, which also takes the mask and the latents of the picture outside the mask."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F32, Float
from sdrt.backends.pool import NetworkPool
from sdrt.images.inputs import Picture, to_mask, to_unit
from sdrt.models.families import LatentFormat
from sdrt.pipeline.conditions.pictures import sample_posterior

__all__ = ["InpaintPictures", "inpaint_channels", "inpaint_pictures"]


@dataclass(frozen=True, eq=False)
class InpaintPictures:
    """A picture and its mask, resized to the size of the run.

    Parameters
    ----------
    image : f32[1,3,H,W] in [-1, 1]
    mask : f32[1,1,H,W]
        1 where the picture is redrawn, else 0.
    """

    image: F32
    mask: F32


def inpaint_pictures(image: Picture, mask_image: Picture, height: int, width: int) -> InpaintPictures:
    """Resize a picture and its mask.

    Raises
    ------
    ImageError : neither a PIL image nor an array of bytes
    """
    return InpaintPictures(2 * to_unit("image", image, height, width) - 1, to_mask("mask_image", mask_image, height, width))


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
    with networks.using("vae_encoder") as encoder:
        moments = encoder(x=(pictures.image * (pictures.mask < 0.5)).astype(encoder.float_dtype()))["moments"]
    latents = latent_format.to_denoiser(sample_posterior(moments, noise))
    # torch's "nearest" takes the upper left pixel of each block
    small = pictures.mask[:, :, :: latent_format.pixels, :: latent_format.pixels]
    return np.concatenate([np.repeat(small, len(latents), axis=0).astype(latents.dtype), latents], axis=1)

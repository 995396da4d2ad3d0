"""In-painting with a U-Net of 9 channels, which also takes the mask and the latents of the picture outside the mask."""

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.pool import NetworkPool
from sdrt.models.families import LatentFormat
from sdrt.pipeline.conditions.pictures import encode_pictures
from sdrt.pipeline.conditions.source import Source, binary_mask

__all__ = ["inpaint_channels"]


def inpaint_channels(networks: NetworkPool, source: Source, noise: Float | None, latent_format: LatentFormat, num_images: int) -> Float:
    """Return the channels to append to every sample.

    Parameters
    ----------
    networks : NetworkPool
    source : Source
        With pictures and masks.
    noise : float32[n,C,h,w] or None
        Noise for the posterior of the masked picture; None for an encoder that gives latents.
    latent_format : LatentFormat
    num_images : int
        n.

    Returns
    -------
    float[n,1 + C,h,w]: the mask, then the masked picture's latents

    Source: diffusers 0.42.1 ``StableDiffusionInpaintPipeline.prepare_mask_latents``.
    """
    pictures = [picture.masked for picture in source.pictures]
    latents = encode_pictures(networks, pictures, noise, latent_format, source.functions, num_images)
    masks = [binary_mask(mask, latent_format.pixels) for mask in source.soft_masks]
    each = np.concatenate([masks[k % len(masks)] for k in range(len(latents))])
    return np.concatenate([each.astype(latents.dtype), latents], axis=1)

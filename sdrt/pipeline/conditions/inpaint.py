"""In-painting by a U-Net of 9 channels: beside the sample it sees the mask, and the latents of the picture outside of it."""

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.pool import NetworkPool
from sdrt.images.inputs import Picture, to_mask, to_unit
from sdrt.pipeline.conditions.pictures import sample_posterior

__all__ = ["inpaint_channels"]


def inpaint_channels(
    networks: NetworkPool,
    image: Picture,
    mask_image: Picture,
    noise: Float,
    scale: int,
    factors: tuple[float, float],
) -> Float:
    """Return the channels that are appended to every sample.

    Parameters
    ----------
    image, mask_image : pictures
        The white parts of the mask are drawn anew.
    noise : float32[n,C,h,w]
        Of the posterior of the masked picture.
    scale : int
        Pixels a latent.
    factors : (scaling_factor, shift_factor) of the VAE

    Returns
    -------
    float[n,1 + C,h,w]: the mask, then the masked picture's latents

    Source: diffusers 0.42.1 ``StableDiffusionInpaintPipeline.prepare_mask_latents``.
    """
    height, width = noise.shape[2] * scale, noise.shape[3] * scale
    mask = to_mask("mask_image", mask_image, height, width)
    picture = 2 * to_unit("image", image, height, width) - 1
    with networks.using("vae_encoder") as encoder:
        moments = encoder(x=(picture * (mask < 0.5)).astype(encoder.float_dtype()))["moments"]
    scaling, shift = factors
    latents = (sample_posterior(moments, noise) - shift) * scaling
    # torch's "nearest" takes the upper left pixel of each block
    small = mask[:, :, ::scale, ::scale]
    return np.concatenate([np.repeat(small, len(latents), axis=0).astype(latents.dtype), latents], axis=1)

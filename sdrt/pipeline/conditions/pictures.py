"""Encode the pictures of a call: one at a time, so that a batch needs no more memory than one picture."""

from collections.abc import Sequence

import numpy as np

from sdrt.arrays import F32, Float
from sdrt.backends.pool import NetworkPool
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.models.families import LatentFormat

__all__ = ["encode_pictures", "sample_posterior"]


def encode_pictures(
    networks: NetworkPool,
    pictures: Sequence[F32],
    noise: Float | None,
    latent_format: LatentFormat,
    functions: Functions,
    num_images: int,
) -> Float:
    """Encode pictures for the denoiser.

    Parameters
    ----------
    networks : NetworkPool
    pictures : sequence of f32[1,3,H,W] in [-1, 1]
        One for all images, or one for each.
    noise : float32[n,C,h,w] or None
        Noise for the posterior of each image; None for an encoder that gives latents.
    latent_format : LatentFormat
    functions : Functions
        That deviations are computed with.
    num_images : int
        n.

    Returns
    -------
    float[n,C,h,w]
    """
    with networks.using("vae_encoder") as encoder:
        encoded = [encoder(x=picture.astype(encoder.float_dtype())) for picture in pictures]
    if noise is None:
        drawn = [encoded[k % len(encoded)]["latents"] for k in range(num_images)]
    else:
        moments = [outputs["moments"] for outputs in encoded]
        drawn = [sample_posterior(moments[k % len(moments)], noise[k : k + 1], functions) for k in range(num_images)]
    return latent_format.to_denoiser(np.concatenate(drawn))


def sample_posterior(moments: Float, noise: Float, functions: Functions = PLATFORM) -> Float:
    """Draw latents from the posterior that the VAE encoder computed.

    Parameters
    ----------
    moments : float[1,2C,h,w]
        Means, then logarithms of variances, which are clipped to [-30, 20].
    noise : float[n,C,h,w], standard normal

    Returns
    -------
    float[n,C,h,w]

    Source: Kingma and Welling 2014 (arXiv:1312.6114), section 2.4; diffusers 0.42.1 ``DiagonalGaussianDistribution``.
    """
    mean, log_variance = np.split(moments, 2, axis=1)
    deviation = functions.exp(0.5 * np.clip(log_variance, -30, 20))
    drawn: Float = mean + deviation * noise.astype(moments.dtype, copy=False)
    return drawn

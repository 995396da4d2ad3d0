"""Latents of a picture that a caller passes in."""

import numpy as np

from sdrt.arrays import Float

__all__ = ["sample_posterior"]


def sample_posterior(moments: Float, noise: Float) -> Float:
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
    deviation = np.exp(0.5 * np.clip(log_variance, -30, 20))
    drawn: Float = mean + deviation * noise.astype(moments.dtype, copy=False)
    return drawn

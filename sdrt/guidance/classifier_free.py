"""Classifier-free guidance: how the predictions with and without the prompt become one."""

import numpy as np

from sdrt.arrays import Float

__all__ = ["guidance_embedding", "guide", "is_guided", "rescale"]


def is_guided(guidance_scale: float) -> bool:
    """Whether a scale needs the unconditional rows at all.

    At 1 the two predictions cancel out, and below 1 diffusers takes the conditional one alone: one row an image is enough.

    >>> is_guided(7.5), is_guided(1.0), is_guided(0.0)
    (True, False, False)
    """
    return guidance_scale > 1


def guide(noise_pred: Float, guidance_scale: float, guidance_rescale: float = 0.0) -> Float:
    """Split a batch of unconditional and conditional rows, and extrapolate from the first through the second.

    Parameters
    ----------
    noise_pred : float[2n,C,h,w]
        The unconditional rows first.
    guidance_scale : float
    guidance_rescale : float in [0, 1]
        How far the result's deviation is drawn back to the conditional one's.

    Returns
    -------
    float[n,C,h,w] of the same dtype

    Source: Ho and Salimans 2022 (arXiv:2207.12598), equation 6, with guidance_scale = 1 + w.

    >>> guide(np.array([[[[1.0]]], [[[3.0]]]]), 2.0)
    array([[[[5.]]]])
    """
    uncond, cond = np.split(noise_pred, 2)
    guided: Float = cond - uncond
    guided *= guidance_scale
    guided += uncond
    return rescale(guided, cond, guidance_rescale) if guidance_rescale > 0 else guided


def rescale(guided: Float, cond: Float, guidance_rescale: float) -> Float:
    """Draw the deviation of ``guided`` back to that of ``cond``, image by image.

    Source: Lin et al. 2024 (arXiv:2305.08891), equations 15 and 16. The deviation is that of a sample (ddof 1), as torch takes it.
    """
    axes = tuple(range(1, cond.ndim))
    ratio = cond.std(axis=axes, ddof=1, keepdims=True) / guided.std(axis=axes, ddof=1, keepdims=True)
    factor: Float = (guidance_rescale * ratio + (1 - guidance_rescale)).astype(guided.dtype)
    return guided * factor


def guidance_embedding(guidance_scale: float, size: int) -> Float:
    """Return the sines and cosines by which a guidance-distilled U-Net (LCM) is told the scale, so that it needs no unconditional rows.

    Parameters
    ----------
    guidance_scale : float
    size : int
        Of the U-Net's ``time_cond_proj_dim``.

    Returns
    -------
    f64[1,size]; a last odd column is zero

    Source: Luo et al. 2023 (arXiv:2310.04378), section 4.2; diffusers 0.42.1 ``get_guidance_scale_embedding`` with w = guidance_scale - 1,
    which computes it in float32.
    """
    half = size // 2
    frequencies = np.exp(np.arange(half) * (-np.log(10000.0) / (half - 1)))
    angles = 1000.0 * (guidance_scale - 1) * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles), np.zeros(size % 2)])[None]

"""Masks over latents: what share of each cell is drawn anew."""

import numpy as np

from sdrt.arrays import F32

__all__ = ["binary_latent_mask", "mean_latent_mask"]


def binary_latent_mask(soft_mask: F32, pixels: int) -> F32:
    """Return 1 for each cell that is drawn anew, where the mask is at least half white, else 0: f32[1,1,h,w].

    The pixel at the upper left of a cell decides, as in torch's "nearest", with which diffusers shrinks masks.

    Parameters
    ----------
    soft_mask : f32[1,1,H,W] in [0, 1]
    pixels : int
        Pixels of a cell, along each side.
    """
    return (soft_mask[:, :, ::pixels, ::pixels] >= 0.5).astype(np.float32)


def mean_latent_mask(soft_mask: F32, pixels: int) -> F32:
    """Return the mean of the mask in each cell: f32[1,1,h,w]."""
    height, width = (side // pixels for side in soft_mask.shape[2:])
    mean: F32 = soft_mask.reshape(1, 1, height, pixels, width, pixels).mean(axis=(3, 5))
    return mean

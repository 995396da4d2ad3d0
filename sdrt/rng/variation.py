"""Variations: noise between that of two seeds, and noise of one size inside that of another.

Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, ``modules/rng.py`` (``slerp``, ``ImageRNG.first``). Departs where that divides by zero:
columns that point the same way, or opposite ways, are mixed linearly.
"""

import numpy as np

from sdrt.arrays import F32
from sdrt.exact.mathematics import PLATFORM, Functions

__all__ = ["centred", "slerp"]

# Below this sine of their angle, two columns are as good as parallel, and float32 cannot tell their angle.
_PARALLEL = 1e-3


def slerp(low: F32, high: F32, strength: float, functions: Functions = PLATFORM) -> F32:
    """Interpolate spherically between two noises, column by column, so that the result has their variance.

    Parameters
    ----------
    low, high : f32[C,h,w]
        Each column along h is one vector.
    strength : float, 0 to 1
        0 is ``low``, 1 is ``high``.
    functions : Functions
        That angles and sums are computed with.

    Returns
    -------
    f32[C,h,w]

    >>> slerp(np.array([[[1], [0]]], np.float32), np.array([[[0], [1]]], np.float32), 0.5).ravel()
    array([0.70710677, 0.70710677], dtype=float32)
    """
    share = np.float32(strength)
    with np.errstate(divide="ignore", invalid="ignore"):
        units = [noise / np.sqrt(functions.sum(noise * noise, 1, keepdims=True)) for noise in (low, high)]
        angle = functions.arccos(np.clip(functions.sum(units[0] * units[1], 1), -1, 1))
        sine = functions.sin(angle)
        weights = [functions.sin(part * angle) / sine for part in (1 - share, share)]
    # an angle that is not a number is that of a column of zeros
    apart = np.abs(sine) > _PARALLEL
    of_low, of_high = (np.where(apart, weight, plain)[:, None] for weight, plain in zip(weights, (1 - share, share), strict=True))
    return (of_low * low + of_high * high).astype(np.float32, copy=False)


def centred(noise: F32, onto: F32) -> F32:
    """Return ``onto`` with the middle of ``noise`` in its middle: what the two have in common stays where it is in a picture.

    Parameters
    ----------
    noise : f32[C,h,w]
    onto : f32[C,H,W]
        Each side may be the larger one in either.

    >>> centred(np.ones((1, 2, 3), np.float32), np.zeros((1, 4, 1), np.float32)).ravel()
    array([0., 1., 1., 0.], dtype=float32)
    """
    result = onto.copy()
    places = []
    for outer, inner in zip(onto.shape[1:], noise.shape[1:], strict=True):
        # rounded down, also where it is negative, as the reference counts
        margin = (outer - inner) // 2
        length = inner if margin >= 0 else inner + 2 * margin
        places.append((slice(max(margin, 0), max(margin, 0) + length), slice(max(-margin, 0), max(-margin, 0) + length)))
    (to_rows, from_rows), (to_columns, from_columns) = places
    result[:, to_rows, to_columns] = noise[:, from_rows, from_columns]
    return result

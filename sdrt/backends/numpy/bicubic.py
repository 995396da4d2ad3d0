"""Pictures at another size by bicubic interpolation, as torch computes it: without smoothing where a picture becomes smaller.

Source: Keys 1981, with a = -0.75; torch 2.13 ``nn.functional.interpolate(mode="bicubic", align_corners=False)``.
"""

from functools import lru_cache

import numpy as np

from sdrt.arrays import Array, Float

__all__ = ["resized"]

_A = -0.75


def resized(pictures: Float, height: int, width: int) -> Float:
    """float[..., H, W] -> float[..., height, width]; additions alone, in a fixed order, so that the bytes are the same everywhere."""
    return _along(_along(pictures, height, -2), width, -1)


def _along(x: Float, size: int, axis: int) -> Float:
    places, weights = _taps(x.shape[axis], size)
    shape = (-1, 1) if axis == -2 else (-1,)
    total: Float = np.take(x, places[0], axis) * weights[0].astype(x.dtype).reshape(shape)
    for place, weight in zip(places[1:], weights[1:], strict=True):
        total += np.take(x, place, axis) * weight.astype(x.dtype).reshape(shape)
    return total


@lru_cache(maxsize=64)
def _taps(before: int, after: int) -> tuple[Array, Float]:
    """Return the four places that each new one is made of, i64[4, after], and their weights, float64[4, after]."""
    middle = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(middle)
    t = middle - first
    places = np.clip(first.astype(np.int64) + np.arange(-1, 3)[:, None], 0, before - 1)
    return places, np.stack([_far(t + 1), _near(t), _near(1 - t), _far(2 - t)])


def _near(x: Float) -> Float:
    """Weigh a pixel at a distance of at most 1."""
    near: Float = ((_A + 2) * x - (_A + 3)) * x * x + 1
    return near


def _far(x: Float) -> Float:
    """Weigh a pixel at a distance from 1 to 2."""
    far: Float = ((_A * x - 5 * _A) * x + 8 * _A) * x - 4 * _A
    return far

"""Latents at another size, as ``torch.nn.functional.interpolate`` makes them: what "Latent" means among AUTOMATIC1111's upscalers.

Each output is a sum of a few inputs in either direction. Source: PyTorch 2.13 ``aten/src/ATen/native/cpu/UpSampleKernel.cpp`` and
``UpSample.h``; the cubic is Keys 1981 (doi:10.1109/TASSP.1981.1163711), with a = -0.75, and -0.5 where it is antialiased.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from sdrt.arrays import Array, Float

__all__ = ["LATENT_RESIZINGS", "LatentResizing"]


class _Taps(NamedTuple):
    """Which inputs an axis's outputs are made of: places i64[out,k], and their weights f64[out,k]."""

    places: Array
    weights: Array


@dataclass(frozen=True)
class LatentResizing:
    """One of the ways.

    Parameters
    ----------
    name : str
        A key of `LATENT_RESIZINGS`.
    """

    name: str

    def __call__(self, latents: Float, height: int, width: int) -> Float:
        """float[n,C,h,w] -> float[n,C,height,width] of the same dtype."""
        taps = LATENT_RESIZINGS[self.name]
        resized = _along(_along(latents, 3, taps(latents.shape[3], width)), 2, taps(latents.shape[2], height))
        return resized.astype(latents.dtype)


def _along(x: Array, axis: int, taps: _Taps) -> Array:
    """Resize one axis, in float64."""
    shape = [1] * x.ndim
    shape[axis] = -1
    parts = (x.take(place, axis) * weight.reshape(shape) for place, weight in zip(taps.places.T, taps.weights.T, strict=True))
    return reduce(np.add, parts)


def _nearest(before: int, after: int, *, centred: bool) -> _Taps:
    # torch works in float32 here, which decides between two neighbours
    scale, places = np.float32(before) / np.float32(after), np.arange(after, dtype=np.float32)
    if centred:
        places = places + np.float32(0.5)
    inside = np.minimum(np.floor(places * scale).astype(np.int64), before - 1)
    return _Taps(inside[:, None], np.ones((after, 1)))


def _linear(before: int, after: int) -> _Taps:
    centres = np.maximum((np.arange(after) + 0.5) * (before / after) - 0.5, 0.0)
    first = np.floor(centres).astype(np.int64)
    share = centres - first
    places = np.minimum(np.stack([first, first + 1], axis=1), before - 1)
    return _Taps(places, np.stack([1 - share, share], axis=1))


def _cubic(before: int, after: int) -> _Taps:
    centres = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(centres).astype(np.int64)
    around = first[:, None] + np.arange(-1, 3)
    weights = _keys(np.abs(centres[:, None] - around), -0.75)
    return _Taps(np.clip(around, 0, before - 1), weights)


def _antialiased(before: int, after: int, kernel: Callable[[Array], Array], radius: int) -> _Taps:
    """Taps of a kernel that is stretched where the picture shrinks, cut off at the edges and normed."""
    scale = before / after
    stretch = max(scale, 1.0)
    support = radius * stretch
    centres = (np.arange(after) + 0.5) * scale
    # truncated towards zero, as the cast of an integer is in C
    first = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centres + support + 0.5).astype(np.int64), before) - first
    around = first[:, None] + np.arange(count.max())
    weights = kernel(np.abs(around - centres[:, None] + 0.5) / stretch)
    weights = np.where(np.arange(count.max()) < count[:, None], weights, 0.0)
    total = weights[:, :1].copy()
    for column in range(1, weights.shape[1]):
        total += weights[:, column : column + 1]
    return _Taps(np.minimum(around, before - 1), weights / total)


def _triangle(distance: Array) -> Array:
    weights: Array = np.maximum(1.0 - distance, 0.0)
    return weights


def _keys(distance: Array, a: float) -> Array:
    """Return Keys' cubic at distances of at least 0."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    weights: Array = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    return weights


# By name: from the lengths of an axis before and after to its taps.
LATENT_RESIZINGS: Mapping[str, Callable[[int, int], _Taps]] = {
    "latent": _linear,
    "latent-antialiased": lambda before, after: _antialiased(before, after, _triangle, 1),
    "latent-bicubic": _cubic,
    "latent-bicubic-antialiased": lambda before, after: _antialiased(before, after, lambda distance: _keys(distance, -0.5), 2),
    "latent-nearest": lambda before, after: _nearest(before, after, centred=False),
    "latent-nearest-exact": lambda before, after: _nearest(before, after, centred=True),
}

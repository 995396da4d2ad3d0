"""Canny's edges, byte for byte those of OpenCV's ``Canny`` with a 3x3 Sobel operator and the L1 norm.

A pixel is an edge if the gradient there is the largest along its own direction, and above ``high``, or above ``low`` and connected through
such pixels to one above ``high``.

Source: Canny 1986 (IEEE PAMI 8(6)); the rounding of OpenCV 4 and 5, ``modules/imgproc/src/canny.cpp``.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import I32, U8, Array
from sdrt.errors import ConfigError
from sdrt.images.inputs import Picture
from sdrt.images.preprocessors.pixels import picture_of, pixels_of
from sdrt.values import Number

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["canny", "canny_pixels"]

_THRESHOLD = Number(minimum=0, maximum=1e6)

# tan(22.5 degrees) in units of 2**-15, as OpenCV rounds it; that of 67.5 degrees is 2 more
_SHIFT = 15
_TAN_22 = 13573


def canny(picture: Picture, low: float = 100, high: float = 200) -> "Image":
    """Draw the edges of a picture: white lines one pixel wide on black.

    Parameters
    ----------
    picture : Picture
        In colours, the channel that changes most at a pixel counts there.
    low, high : float, 0 <= low <= high
        Sums of the absolute derivatives by the 3x3 Sobel operator, which are at most 2040.

    Returns
    -------
    PIL image of mode L

    Raises
    ------
    ConfigError : a threshold is negative, or ``low`` is above ``high``
    ImageError : no picture
    """
    low, high = (_THRESHOLD.check(name, value) for name, value in (("low", low), ("high", high)))
    if low > high:
        raise ConfigError(f"low must be at most high, got {low:g} and {high:g}; exchange them")
    return picture_of(canny_pixels(pixels_of(picture), low, high))


def canny_pixels(pixels: U8, low: float = 100, high: float = 200) -> U8:
    """Return 255 at edges, else 0: u8[H,W], of u8[H,W,3]."""
    dx, dy = _sobel(pixels)
    size = np.abs(dx) + np.abs(dy)
    # of channels that change as much, the first
    channel = size.argmax(axis=2)[..., None]
    dx, dy, size = (np.take_along_axis(each, channel, axis=2)[..., 0] for each in (dx, dy, size))
    candidates = _ridges(dx, dy, size) & (size > np.floor(low))
    return np.where(_connected(candidates, candidates & (size > np.floor(high))), np.uint8(255), np.uint8(0))


def _sobel(pixels: U8) -> tuple[I32, I32]:
    """Return the derivatives to the right and downwards, i32[H,W,C]; the edges are repeated."""
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), "edge").astype(np.int32)
    down = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    across = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return down[:, 2:] - down[:, :-2], across[2:] - across[:-2]


def _ridges(dx: I32, dy: I32, size: I32) -> Array:
    """Return where a gradient is the largest along its direction, one of four: bool[H,W].

    Of two equal neighbours in a row or a column the left or upper one is the ridge; on a diagonal neither is. Outside is 0.
    """
    around = np.pad(size, 1)
    height, width = size.shape

    def moved(y: int, x: int) -> I32:
        return around[1 + y : 1 + y + height, 1 + x : 1 + x + width]

    x, y = np.abs(dx), np.abs(dy) << _SHIFT
    flat = x * _TAN_22
    level, upright = y < flat, y > flat + (x << (_SHIFT + 1))
    falling = np.where((dx ^ dy) < 0, (size > moved(-1, 1)) & (size > moved(1, -1)), (size > moved(-1, -1)) & (size > moved(1, 1)))
    along = np.where(upright, (size > moved(-1, 0)) & (size >= moved(1, 0)), falling)
    return np.where(level, (size > moved(0, -1)) & (size >= moved(0, 1)), along)


def _connected(candidates: Array, seeds: Array) -> Array:
    """Return the candidates that are connected to a seed through their eight neighbours: bool[H,W].

    Each candidate points to one of its component with a lower number, all at once, until every component has one root: so that the work
    grows with the logarithm of a line's length.
    """
    count = int(np.count_nonzero(candidates))
    number = np.zeros(candidates.shape, np.int64)
    number[candidates] = np.arange(count)
    ends = [(number[here][both], number[there][both]) for here, there in _neighbours() for both in [candidates[here] & candidates[there]]]
    first, second = (np.concatenate(side) for side in zip(*ends, strict=True))
    root = np.arange(count)
    while (apart := root[first] != root[second]).any():
        a, b = root[first[apart]], root[second[apart]]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root, above := root[root]):
            root = above
    reached = np.zeros(count, bool)
    reached[root[number[seeds]]] = True
    edges = np.zeros(candidates.shape, bool)
    edges[candidates] = reached[root]
    return edges


def _neighbours() -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Yield the pixels that have a neighbour and these neighbours: to the right, below, and on both diagonals below."""
    every, up, down, left, right = slice(None), slice(None, -1), slice(1, None), slice(None, -1), slice(1, None)
    yield (every, left), (every, right)
    yield (up, every), (down, every)
    yield (up, left), (down, right)
    yield (up, right), (down, left)

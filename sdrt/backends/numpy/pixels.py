"""Moves of pixels between channels and places, on NHWC arrays, and convolutions with a rectifier behind them."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.conv import Conv3x3
from sdrt.backends.numpy.source import Source

__all__ = ["RectifiedConv", "mirrored", "shuffle", "unshuffle"]


@dataclass(frozen=True)
class RectifiedConv(Conv3x3):
    """A convolution whose values below zero are multiplied by a slope: 0, one number, or one for each channel (PReLU).

    Parameters
    ----------
    packed, bias, arithmetic
        See `Conv3x3`.
    slope : float[out]
    """

    slope: Float = field(kw_only=True)

    @classmethod
    def rectified(cls, source: Source, size_in: int, size_out: int, slope: Float | float) -> Self:
        """Read ``weight`` and ``bias``."""
        plain = Conv3x3.load(source, size_in, size_out)
        slopes = np.broadcast_to(np.asarray(slope, source.dtype), (size_out,))
        return cls(plain.packed, plain.bias, plain.arithmetic, slope=slopes)

    def _activate(self, y: Float, part: slice) -> None:
        slope = self.slope[part]
        if self._is_gentle:
            np.maximum(y, y * slope, out=y)
        else:
            below = np.minimum(y, 0)
            below *= slope
            np.maximum(y, 0, out=y)
            y += below

    @cached_property
    def _is_gentle(self) -> bool:
        """Whether every slope is from 0 to 1, so that the larger of both lines is the result."""
        return bool((self.slope >= 0).all() and (self.slope <= 1).all())


def mirrored(x: Float, multiple: int) -> Float:
    """Continue pictures to the right and below, float[n, h, w, c], by their mirror images until both sides are multiples of a number.

    A side that is too short to be mirrored continues its first pixel.

    Source: xinntao/Real-ESRGAN 0.3.0 ``realesrgan/utils.py::RealESRGANer.pre_process`` (``F.pad(..., "reflect")``).
    """
    for axis in (1, 2):
        side = x.shape[axis]
        if more := -side % multiple:
            x = np.take(x, [*range(side), *(max(0, side - 2 - step) for step in range(more))], axis)
    return x


def unshuffle(x: Float, factor: int) -> Float:
    """float[n, h, w, c] -> float[n, h/f, w/f, c f f]: a channel, then row and column within each square of pixels, as torch orders them."""
    n, height, width, channels = x.shape
    squares = x.reshape(n, height // factor, factor, width // factor, factor, channels).transpose(0, 1, 3, 5, 2, 4)
    return squares.reshape(n, height // factor, width // factor, channels * factor**2)


def shuffle(x: Float, factor: int) -> Float:
    """float[n, h, w, c f f] -> float[n, h f, w f, c]: `unshuffle` the other way."""
    n, height, width, channels = x.shape
    squares = x.reshape(n, height, width, channels // factor**2, factor, factor).transpose(0, 1, 4, 2, 5, 3)
    return squares.reshape(n, height * factor, width * factor, channels // factor**2)

"""Convolution of 3x3 pixels as a matrix product: the neighbourhoods of a block of pixels are gathered, then multiplied at once.

Gathering costs one or two percent of the product (a pixel's neighbourhood is three runs of 3C numbers in a padded NHWC array), and the
block is small enough to stay in the cache, so that no array of all neighbourhoods ever exists.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.arithmetic import FLOATING, Arithmetic
from sdrt.backends.numpy.source import Mapped, Source, Weight, read
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import Tile, split, tiles
from sdrt.backends.numpy.winograd import Winograd, worth_winograd

__all__ = ["Conv3x3", "padded_copy", "padded_like"]

_PIXELS = 512  # least pixels a block, as for any product
_GATHERED = 2**18  # numbers gathered a block where more pixels fit into that


@dataclass(frozen=True)
class Conv3x3:
    """y = conv(x, weight) + bias on NHWC arrays.

    Parameters
    ----------
    packed : float[9 * in, out]
        Rows ordered by row of the kernel, column of the kernel, channel.
    bias : float[out]
    arithmetic : Arithmetic
        In which the weights of the faster way are made.
    """

    packed: Weight
    bias: Float
    arithmetic: Arithmetic = FLOATING

    @classmethod
    def load(cls, source: Source, size_in: int, size_out: int, *, bias: bool = True) -> Self:
        """Read ``weight`` [out, in, 3, 3] and ``bias``; without one, zeros."""

        def pack(source: Source) -> Float:
            weight = source.stored("weight", size_out, size_in, 3, 3).transpose(2, 3, 1, 0)
            return weight.astype(source.dtype, order="C").reshape(9 * size_in, size_out)

        added = source.take("bias", size_out) if bias else np.zeros(size_out, source.dtype)
        return cls(source.packed(pack), added, source.arithmetic)

    @cached_property
    def winograd(self) -> Winograd:
        """The same weights for the faster way, four times as large; made when first needed."""
        return self._made_winograd()

    def _made_winograd(self) -> Winograd:
        return Winograd.from_weight(read(self.packed), self.arithmetic)

    def __call__(
        self, team: ThreadTeam, padded: Float, *, stride: int = 1, shift: Float | None = None, residual: Float | None = None
    ) -> Float:
        """float[n, h, w, in], padded already and C-contiguous -> float[n, (h-3)//stride+1, (w-3)//stride+1, out].

        Parameters
        ----------
        shift : float[n, out]
            Added to every pixel of a picture.
        residual : float of the output's shape
        """
        n, height, width = padded.shape[0], (padded.shape[1] - 3) // stride + 1, (padded.shape[2] - 3) // stride + 1
        depth, channels = 9 * padded.shape[3], len(self.bias)
        out = np.empty((n, height, width, channels), self.bias.dtype)
        mapped = isinstance(self.packed, Mapped)
        if stride == 1 and worth_winograd(padded, channels) and (self.arithmetic.one_way or not mapped):
            winograd = self._made_winograd() if mapped else self.winograd
            winograd(team, padded, out, lambda y, tile: self._finish(y, tile, slice(0, channels), shift, residual))
            return out
        operand = team.arithmetic.picture(padded, team.scratch, team.map_blocks)
        weight = read(self.packed)
        pixels = max(_PIXELS, _GATHERED // depth)
        pieces = tiles(n, height, width, pixels)
        columns = split(channels, team.threads if len(pieces) < team.threads else 1)

        def block(where: tuple[Tile, slice]) -> None:
            tile, part = where
            y = out[tile.images, tile.rows, :, part]
            gathered = _gather(team, operand, tile, y.shape[:3], stride)
            if part.stop - part.start == channels:
                team.arithmetic.multiply(gathered, weight, y.reshape(-1, channels), team.scratch)
            else:
                product = team.scratch.take("product", (len(gathered), y.shape[3]), out.dtype)
                team.arithmetic.multiply(gathered, weight[:, part], product, team.scratch)
                y[...] = product.reshape(y.shape)
            self._finish(y, tile, part, shift, residual)

        team.map_blocks(block, [(tile, part) for tile in pieces for part in columns], 2.0 * out.size * depth)
        return out

    def _finish(self, y: Float, tile: Tile, part: slice, shift: Float | None, residual: Float | None) -> None:
        """Add what is added to every pixel, to a picture's pixels and to each pixel."""
        y += self.bias[part] if shift is None else (shift[tile.images, part] + self.bias[part])[:, None, None]
        if residual is not None:
            y += residual[tile.images, tile.rows, :, part]
        self._activate(y, part)

    def finish(self, y: Float) -> None:
        """Finish products float[..., out] that were computed elsewhere: add the bias, and apply what the convolution ends with."""
        y += self.bias
        self._activate(y, slice(0, len(self.bias)))

    def _activate(self, y: Float, part: slice) -> None:
        """Apply an activation to a block in place; a plain convolution has none."""


def _gather(team: ThreadTeam, padded: Float, tile: Tile, shape: tuple[int, ...], stride: int) -> Float:
    """Gather the neighbourhoods of a block's pixels, float[pixels, 9 * in]."""
    channels = padded.shape[3]
    image, row, pixel, number = padded.strides
    view = np.ndarray(
        (*shape, 3, 3 * channels),
        padded.dtype,
        padded,
        offset=tile.images.start * image + tile.rows.start * stride * row,
        strides=(image, stride * row, stride * pixel, row, number),
    )
    gathered = team.scratch.take("gathered", view.shape, padded.dtype)
    np.copyto(gathered, view)
    return gathered.reshape(-1, 9 * channels)


def padded_like(team: ThreadTeam, shape: tuple[int, ...], dtype: np.dtype[np.floating], before: int = 1) -> tuple[Float, Float]:
    """Make a scratch array for pictures of this NHWC shape inside a frame of zeros, and return it with its inside.

    Parameters
    ----------
    before : 0 or 1
        Width of the frame above and to the left; below and to the right it is 1.
    """
    n, height, width, channels = shape
    whole = team.scratch.take("padded", (n, height + 1 + before, width + 1 + before, channels), dtype)
    whole[:, height + before :] = 0
    whole[:, :, width + before :] = 0
    if before:
        whole[:, 0] = 0
        whole[:, :, 0] = 0
    return whole, whole[:, before : height + before, before : width + before]


def padded_copy(team: ThreadTeam, x: Float, before: int = 1) -> Float:
    """``x`` inside a frame of zeros, in scratch memory."""
    whole, inside = padded_like(team, x.shape, x.dtype, before)
    inside[...] = x
    return whole

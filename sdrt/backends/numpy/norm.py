"""Group and layer normalisation, each block read once for its moments and once to be written.

Moments are taken about the mean of a block and combined in float64 (Chan, Golub and LeVeque 1983), so that a mean that is large beside the
deviation costs no digits.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.activations import silu
from sdrt.backends.numpy.conv import padded_like
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import Tile, split, tiles

__all__ = ["GroupNorm", "LayerNorm"]

_NUMBERS = 2**17  # numbers a block: half a megabyte of float32, which a core's second-level cache holds with its scratch
_FLOPS = 50.0  # what a number costs, in products' time


@dataclass(frozen=True)
class GroupNorm:
    """(x - mean) / sqrt(var + eps) * weight + bias, moments over the pixels and channels of a group.

    Parameters
    ----------
    weight, bias : float[channels]
    groups : int
    eps : float
    is_sequence : bool
        Whether the model takes the pixels of a picture as one axis, which tells the layout of what it gives there.
    """

    weight: Float
    bias: Float
    groups: int
    eps: float
    is_sequence: bool = False

    @classmethod
    def load(cls, source: Source, channels: int, groups: int, eps: float, *, is_sequence: bool = False) -> Self:
        return cls(source.take("weight", channels), source.take("bias", channels), groups, eps, is_sequence)

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        """float[n, h, w, c] -> the same."""
        out = np.empty_like(x)
        scale, shift = self._affine(team, x)

        def block(tile: Tile) -> None:
            y = out[tile.images, tile.rows]
            np.multiply(x[tile.images, tile.rows], scale[tile.images], out=y)
            y += shift[tile.images]

        team.map_blocks(block, _blocks(x), _FLOPS * x.size)
        return out

    def silu_padded(self, team: ThreadTeam, x: Float) -> Float:
        """float[n, h, w, c] -> silu(norm(x)) in a frame of zeros, float[n, h+2, w+2, c] in scratch memory."""
        whole, inside = padded_like(team, x.shape, x.dtype)
        scale, shift = self._affine(team, x)

        def block(tile: Tile) -> None:
            scratch = team.scratch
            source = x[tile.images, tile.rows]
            y = scratch.take("normed", source.shape, x.dtype)
            np.multiply(source, scale[tile.images], out=y)
            y += shift[tile.images]
            silu(y, scratch, inside[tile.images, tile.rows], team.arithmetic.exponential)

        team.map_blocks(block, _blocks(x), _FLOPS * x.size)
        return whole

    def _affine(self, team: ThreadTeam, x: Float) -> tuple[Float, Float]:
        """Norm(x) = x * scale + shift, both float[n, 1, 1, c]."""
        n, channels = x.shape[0], x.shape[3]
        pixels = x.shape[1] * x.shape[2]
        blocks, total = _blocks(x), team.arithmetic.total
        # a picture's runs of rows, whatever the other pictures are
        runs = {start: index for index, start in enumerate(dict.fromkeys(tile.rows.start for tile in blocks))}
        means = np.empty((len(runs), n, channels))
        squares = np.empty((len(runs), n, channels))
        counts = np.empty((len(runs), n, 1))

        def block(tile: Tile) -> None:
            index = runs[tile.rows.start]
            part = x[tile.images, tile.rows]
            part = part.reshape(part.shape[0], -1, channels)
            mean = total(part, 1) / part.shape[1]
            apart = team.scratch.take("normed", part.shape, x.dtype)
            np.subtract(part, mean[:, None], out=apart)
            np.multiply(apart, apart, out=apart)
            means[index, tile.images] = mean
            squares[index, tile.images] = total(apart, 1)
            counts[index, tile.images] = part.shape[1]

        team.map_blocks(block, blocks, _FLOPS * x.size)
        grouped = (len(runs), n, self.groups, channels // self.groups)
        means, squares, counts = means.reshape(grouped), squares.reshape(grouped), counts[..., None]
        numbers = pixels * grouped[3]
        mean = total(means * counts, (0, 3)) / numbers
        means -= mean[..., None]
        means *= means
        means *= counts
        means += squares
        deviation = np.sqrt(total(means, (0, 3)) / numbers + self.eps)
        scale = self.weight.reshape(grouped[2:]) / deviation[..., None]
        shift = self.bias.reshape(grouped[2:]) - mean[..., None] * scale
        return scale.astype(x.dtype).reshape(n, 1, 1, channels), shift.astype(x.dtype).reshape(n, 1, 1, channels)


@dataclass(frozen=True)
class LayerNorm:
    """(x - mean) / sqrt(var + eps) * weight + bias, moments over the last axis.

    Parameters
    ----------
    weight, bias : float[channels]
    eps : float
    """

    weight: Float
    bias: Float
    eps: float

    @classmethod
    def load(cls, source: Source, channels: int, eps: float) -> Self:
        return cls(source.take("weight", channels), source.take("bias", channels), eps)

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        """float[..., channels] -> the same."""
        out = np.empty_like(x)
        rows, results, total = x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1]), team.arithmetic.total

        def block(at: slice) -> None:
            y = results[at]
            np.subtract(rows[at], total(rows[at], 1, keepdims=True) / y.shape[1], out=y)
            squares = team.scratch.take("normed", y.shape, x.dtype)
            np.multiply(y, y, out=squares)
            y /= np.sqrt(total(squares, 1, keepdims=True) / y.shape[1] + self.eps)
            y *= self.weight
            y += self.bias

        team.map_blocks(block, split(rows.shape[0], -(-x.size // _NUMBERS)), _FLOPS * x.size)
        return out


def _blocks(x: Float) -> tuple[Tile, ...]:
    return tiles(x.shape[0], x.shape[1], x.shape[2], max(1, _NUMBERS // x.shape[3]))

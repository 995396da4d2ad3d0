"""Winograd's F(4x4, 3x3) on few channels, a block of tiles at a time: pixels are evaluated, multiplied and interpolated in the cache.

Evaluation and interpolation are products too, with the matrix of both axes at once: more operations than the passes of `winograd.py`, in
less time. Where a convolution sees what earlier ones saw, as in a dense block, what was evaluated is kept, so that each number is evaluated
once for all convolutions that see it. Pictures lie in frames of zeros that reach to whole tiles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Self, TypeAlias

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.conv import Conv3x3
from sdrt.backends.numpy.source import Mapped
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.winograd import interpolation, pixel_evaluation

__all__ = ["Blocks", "Finish", "Frame", "convolve", "into", "worth_framing"]

_SIDE = 4  # of a tile's results
_TILES = 256  # of a block: 36 products of so many rows each
_LEAST_TILES = 36  # of a picture
_CHANNELS = 24  # fewer than this, and the passes cost what the products save

# Takes results float32[4, 4, rows of tiles, tiles across, out] in the cache, which it may change, the image, and the first row of tiles.
Finish: TypeAlias = Callable[[Float, int, range], None]


def worth_framing(conv: Conv3x3, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether this way is faster for a convolution and pictures of the shape [n, h, w, c]."""
    plain = dtype == np.float32 and not conv.arithmetic.one_way and not isinstance(conv.packed, Mapped)
    return plain and min(shape[3], len(conv.bias)) >= _CHANNELS and shape[1] * shape[2] >= _LEAST_TILES * _SIDE**2


@dataclass(frozen=True)
class Frame:
    """Pictures in frames of zeros.

    Parameters
    ----------
    whole : float32[n, 4 down + 2, 4 across + 2, c]
    height, width : int
        Of the pictures.
    """

    whole: Float
    height: int
    width: int

    @classmethod
    def of(cls, team: ThreadTeam, name: str, shape: tuple[int, ...]) -> Self:
        """Return scratch memory of this name for pictures [n, h, w, c], which is to be filled, and then cleared around them."""
        n, height, width, channels = shape
        down, across = -(-height // _SIDE), -(-width // _SIDE)
        whole = team.scratch.take(f"frame {name}", (n, _SIDE * down + 2, _SIDE * across + 2, channels), np.dtype(np.float32))
        return cls(whole, height, width)

    @classmethod
    def new(cls, shape: tuple[int, ...]) -> Self:
        """Return memory of its own for pictures [n, h, w, c]."""
        n, height, width, channels = shape
        whole = np.empty((n, _SIDE * -(-height // _SIDE) + 2, _SIDE * -(-width // _SIDE) + 2, channels), np.float32)
        return cls(whole, height, width)

    @classmethod
    def holding(cls, team: ThreadTeam, name: str, x: Float, scale: int = 1) -> Self:
        """Return scratch memory of this name with pictures float32[n, h, w, c] in it, or with so many times their nearest neighbours."""
        frame = cls.of(team, name, (len(x), scale * x.shape[1], scale * x.shape[2], x.shape[3]))
        for row in range(scale):
            for column in range(scale):
                frame.inside[:, row::scale, column::scale] = x
        frame.clear()
        return frame

    @property
    def inside(self) -> Float:
        """The pictures: float32[n, h, w, c]."""
        return self.whole[:, 1 : self.height + 1, 1 : self.width + 1]

    def tiles(self, image: int, rows: range) -> Float:
        """Return the place of some rows of tiles, as far as they reach: float32[rows, 4, across, 4, c]."""
        return _split_tiles(self.whole[image, 1 + _SIDE * rows.start : 1 + _SIDE * rows.stop, 1:-1])

    def clear(self) -> None:
        """Make the frame zeros, whatever tiles that reach beyond the pictures wrote there."""
        self.whole[:, 0] = 0
        self.whole[:, self.height + 1 :] = 0
        self.whole[:, :, 0] = 0
        self.whole[:, :, self.width + 1 :] = 0


def _split_tiles(rows: Float) -> Float:
    """float32[4 rows, 4 across, c] -> a view [rows, 4, across, 4, c]."""
    height, width, channels = rows.shape
    return rows.reshape(height // _SIDE, _SIDE, width // _SIDE, _SIDE, channels)


def into(conv: Conv3x3, frame: Frame) -> Finish:
    """Return what finishes tiles as a convolution ends, and puts them into pictures."""

    def finish(y: Float, image: int, rows: range) -> None:
        conv.finish(y)
        np.copyto(frame.tiles(image, rows), y.transpose(2, 0, 3, 1, 4))

    return finish


@dataclass(frozen=True)
class Blocks:
    """Rows of tiles of pictures, in blocks that the cache holds.

    Parameters
    ----------
    blocks : tuple of (image, rows of tiles)
    across : int
        Tiles of a row.
    values : float32[blocks, 36, tiles, depth] or None
        What was evaluated, for every channel that a convolution of a group sees; None where each sees its own channels alone.
    """

    blocks: tuple[tuple[int, range], ...]
    across: int
    values: Float | None = None

    @classmethod
    def of(cls, team: ThreadTeam, shape: tuple[int, ...], depth: int | None = None) -> Self:
        """Lay out pictures of the shape [n, h, w, c], for convolutions that see at most so many channels together; None: for one."""
        down, across = -(-shape[1] // _SIDE), -(-shape[2] // _SIDE)
        rows = min(down, max(1, _TILES // across))
        blocks = tuple((image, range(row, min(down, row + rows))) for image in range(shape[0]) for row in range(0, down, rows))
        if depth is None:
            return cls(blocks, across)
        return cls(blocks, across, team.scratch.take("framed values", (len(blocks), 36, rows * across, depth), np.dtype(np.float32)))

    def convolve(self, team: ThreadTeam, weight: Float, frame: Frame, finish: Finish, start: int = 0) -> None:
        """Evaluate pictures, and convolve them together with those that were evaluated before.

        Parameters
        ----------
        weight : float32[36, start + c, out]
            As of `Winograd`.
        frame : Frame
        finish : callable
        start : int
            Channels that were evaluated before.
        """
        channels, results = frame.whole.shape[3], weight.shape[2]
        evaluate, interpolate = _matrices()

        def block(index: int) -> None:
            image, rows = self.blocks[index]
            tiles, scratch = len(rows) * self.across, team.scratch
            pixels = scratch.take("framed pixels", (6, 6, len(rows), self.across, channels), frame.whole.dtype)
            np.copyto(pixels, _windows(frame.whole[image], rows, self.across))
            values = scratch.take("framed new", (36, tiles, channels), frame.whole.dtype)
            team.arithmetic.multiply(evaluate, pixels.reshape(36, -1), values.reshape(36, -1), scratch)
            if self.values is not None:
                kept = self.values[index, :, :tiles, : start + channels]
                kept[:, :, start:] = values
                values = kept
            products = scratch.take("framed products", (36, tiles, results), frame.whole.dtype)
            team.arithmetic.multiply(values, weight, products, scratch)
            y = scratch.take("framed results", (4, 4, len(rows), self.across, results), frame.whole.dtype)
            team.arithmetic.multiply(interpolate, products.reshape(36, -1), y.reshape(16, -1), scratch)
            finish(y, image, rows)

        tiles = self.across * sum(len(rows) for _, rows in self.blocks)
        team.map_blocks(block, range(len(self.blocks)), 72.0 * tiles * ((start + channels) * results + 36 * channels + 16 * results))


def convolve(team: ThreadTeam, conv: Conv3x3, frame: Frame, name: str) -> Frame:
    """Convolve pictures in their frames, into a frame in the scratch memory of another name."""
    given = Frame.of(team, name, (len(frame.whole), frame.height, frame.width, len(conv.bias)))
    Blocks.of(team, given.inside.shape).convolve(team, conv.winograd.weight, frame, into(conv, given))
    given.clear()
    return given


def _windows(whole: Float, rows: range, across: int) -> Float:
    """View the pixels that tiles need, float32[6, 6, rows, across, c]: tiles overlap by two pixels."""
    row, pixel, number = whole.strides
    shape, strides = (6, 6, len(rows), across, whole.shape[2]), (row, pixel, _SIDE * row, _SIDE * pixel, number)
    return np.lib.stride_tricks.as_strided(whole[_SIDE * rows.start :], shape, strides, writeable=False)


@cache
def _matrices() -> tuple[Float, Float]:
    """float32[36, 36] from the pixels of a tile to their values at the points, float32[16, 36] from those to results."""
    evaluate, interpolate = pixel_evaluation(), interpolation()
    return np.kron(evaluate, evaluate).astype(np.float32), np.kron(interpolate, interpolate).astype(np.float32)

"""Convolution of 3x3 pixels by Winograd's F(4x4, 3x3): 36 products where the plain way has 144.

A tile of 4x4 results needs 6x6 pixels. Pixels and weights are evaluated as polynomials at the points 0, ±sqrt(1/2), ±sqrt(2) and infinity
along each axis, multiplied there, and the results interpolated (Winograd 1980; Lavin and Gray 2016, arXiv:1509.09308). These points lose
two bits of float32 where the usual 0, ±1, ±2 lose three to four: on 320 channels the error's root mean square is 4.5 times that of the
plain product, not 9.6 times; its maximum 3e-6 of the largest value, not 1.4e-5. All around the products is passes over blocks in the cache:
additions and multiplications of one number by another, in an order that is written here, which exact numerics keep as they are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.arithmetic import FLOATING, Arithmetic
from sdrt.backends.numpy.scratch import Scratch
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import Tile, split

__all__ = ["Winograd", "interpolation", "pixel_evaluation", "worth_winograd"]

_A, _B = math.sqrt(0.5), math.sqrt(2.0)  # the points ±a and ±b; a b = 1 saves a pass below
_A2, _B2 = _A * _A, _B * _B
_POINTS = (0.0, _A, -_A, _B, -_B)

_CHANNELS = 96  # fewer than this, and the passes cost what the products save
# Tiles of a picture: with fewer, BLAS spends its time packing 36 matrices of weights, which are largest where pictures are smallest.
_TILES = 64
_NUMBERS = 2**23  # of the 36 products' operands at a time
_SIDE = 4  # of a tile's results
_FLOPS = 50.0  # what a number costs in a pass, in products' time


def worth_winograd(padded: Float, channels: int) -> bool:
    """Whether this way is faster for a padded input float32[n, h+2, w+2, c] and so many output channels; it needs whole tiles."""
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    whole = height % _SIDE == 0 and width % _SIDE == 0
    wide = min(padded.shape[3], channels) >= _CHANNELS
    return padded.dtype == np.float32 and whole and wide and height * width >= _TILES * _SIDE**2


@dataclass(frozen=True)
class Winograd:
    """A 3x3 convolution's weights at the 36 points.

    Parameters
    ----------
    weight : float32[36, in, out]
    """

    weight: Float

    @classmethod
    def from_weight(cls, weight: Float, arithmetic: Arithmetic = FLOATING) -> Self:
        """From weights as `Conv3x3` packs them, float32[9 * in, out]."""
        rows, channels = weight.shape
        evaluate = _evaluation()
        points = np.kron(evaluate, evaluate).astype(weight.dtype)
        values = np.empty((36, rows // 9 * channels), weight.dtype)
        arithmetic.multiply(points, arithmetic.pack(weight.reshape(9, -1)), values, Scratch())
        return cls(arithmetic.pack(values.reshape(36, rows // 9, channels)))

    def __call__(self, team: ThreadTeam, padded: Float, out: Float, finish: Callable[[Float, Tile], None]) -> None:
        """Convolve padded float32[n, h+2, w+2, in] into out float32[n, h, w, out], both C-contiguous.

        Parameters
        ----------
        finish : callable
            Called with each block of results, float32[1, 4, w, out], while it lies in the cache, and with its place.
        """
        n, height, width, channels = out.shape
        down, across, depth = height // _SIDE, width // _SIDE, padded.shape[3]
        rows = [(image, row) for image in range(n) for row in range(down)]
        together = max(1, _NUMBERS // (36 * across * max(depth, channels)), 2 * _TILES // across)
        for run in split(len(rows), -(-len(rows) // together)):
            self._rows(team, padded, out, finish, rows[run])

    def _rows(
        self, team: ThreadTeam, padded: Float, out: Float, finish: Callable[[Float, Tile], None], rows: Sequence[tuple[int, int]]
    ) -> None:
        """Convolve some rows of tiles: evaluate their pixels at the points, multiply, interpolate the results."""
        depth, channels = self.weight.shape[1:]
        across = out.shape[2] // _SIDE
        count = len(rows) * across
        values = team.scratch.take("winograd values", (36, count, depth), padded.dtype)
        products = team.scratch.take("winograd products", (36, count, channels), padded.dtype)

        def evaluate(index: int) -> None:
            image, row = rows[index]
            part = values[:, index * across : (index + 1) * across].reshape(6, 6, across, depth)
            _evaluate_row(team, padded[image, _SIDE * row : _SIDE * row + 6], part)

        def multiply(point: int) -> None:
            team.arithmetic.multiply(values[point], self.weight[point], products[point], team.scratch)

        def interpolate(index: int) -> None:
            image, row = rows[index]
            part = products[:, index * across : (index + 1) * across].reshape(6, 6, across, channels)
            tile = Tile(slice(image, image + 1), slice(_SIDE * row, _SIDE * (row + 1)))
            _interpolate_row(team, part, out[image, tile.rows])
            finish(out[tile.images, tile.rows], tile)

        team.map_blocks(evaluate, range(len(rows)), _FLOPS * values.size)
        team.map_blocks(multiply, range(36), 2.0 * products.size * depth)
        team.map_blocks(interpolate, range(len(rows)), _FLOPS * products.size)


def _evaluation() -> Float:
    """float64[6, 3]: a polynomial with three coefficients at the points, over the product of each point's distances to the others."""
    rows = [[power / math.prod(x - other for other in _POINTS if other != x) for power in (1.0, x, x * x)] for x in _POINTS]
    return np.array([*rows, [0.0, 0.0, 1.0]])


def interpolation() -> Float:
    """float64[4, 6]: what `_interpolate` computes of values at the six points, as a matrix."""
    results = np.empty((4, 6))
    _interpolate(np.eye(6), results, np.empty((4, 6)))
    return results


def pixel_evaluation() -> Float:
    """float64[6, 6]: what `_evaluate` computes of six pixels, as a matrix."""
    values = np.empty((6, 6))
    _evaluate(np.eye(6), values, np.empty((2, 6)))
    return values


def _evaluate_row(team: ThreadTeam, pixels: Float, values: Float) -> None:
    """Evaluate a row of tiles at the points: float[6, w+2, c] -> float[6, 6, tiles, c]."""
    scratch, across = team.scratch, values.shape[2]
    down = scratch.take("winograd down", pixels.shape, pixels.dtype)
    spare = scratch.take("winograd spare", (2, max(down[0].size, values[0].size)), pixels.dtype)
    _evaluate(pixels, down, spare)
    # tile by tile along the row: column j of tile t is pixel 4 t + j
    row, pixel, number = down.strides
    view = np.ndarray((6, 6, across, down.shape[2]), down.dtype, down, strides=(pixel, row, _SIDE * pixel, number))
    apart = scratch.take("winograd apart", view.shape, down.dtype)
    np.copyto(apart, view)
    _evaluate(apart, values.transpose(1, 0, 2, 3), spare)


def _evaluate(d: Float, v: Float, spare: Float) -> None:
    """Along the first axis, v = B^T d: the coefficients of prod(x - other points), for each point."""
    even, odd = (part[: d[0].size].reshape(d[0].shape) for part in spare)
    for first, middle, last, point in ((d[0], d[2], d[4], v[0]), (d[1], d[3], d[5], v[5])):
        np.multiply(middle, -(_A2 + _B2), out=even)
        even += first
        np.add(even, last, out=point)
    for own, other, plus, minus in ((_A, _B2, v[1], v[2]), (_B, _A2, v[3], v[4])):
        np.multiply(d[2], -other, out=even)
        even += d[4]
        np.multiply(d[1], -other, out=odd)
        odd += d[3]
        odd *= own
        np.add(even, odd, out=plus)
        np.subtract(even, odd, out=minus)


def _interpolate_row(team: ThreadTeam, products: Float, out: Float) -> None:
    """Interpolate a row of tiles from the points: float[6, 6, tiles, channels] -> float[4, w, channels]."""
    scratch, (_, _, across, channels) = team.scratch, products.shape
    down = scratch.take("winograd down", (4, *products.shape[1:]), products.dtype)
    spare = scratch.take("winograd spare", (4, products[0].size), products.dtype)
    _interpolate(products, down, spare)
    _interpolate(down.transpose(1, 0, 2, 3), out.reshape(4, across, 4, channels).transpose(2, 0, 1, 3), spare)


def _interpolate(m: Float, y: Float, spare: Float) -> None:
    """Along the first axis, y = A^T m: row i sums the points' i-th powers."""
    sum_a, difference_a, sum_b, difference_b = (part[: m[0].size].reshape(m[0].shape) for part in spare)
    np.add(m[1], m[2], out=sum_a)
    np.subtract(m[1], m[2], out=difference_a)
    np.add(m[3], m[4], out=sum_b)
    np.subtract(m[3], m[4], out=difference_b)
    np.add(sum_a, sum_b, out=y[0])
    y[0] += m[0]
    for power, (a, scale_a), (b, scale_b) in (
        (1, (difference_a, _A), (difference_b, _B)),
        (2, (sum_a, _A2), (sum_b, _B2)),
        # the differences lie there scaled by the first power already
        (3, (difference_a, _A2), (difference_b, _B2)),
    ):
        a *= scale_a
        b *= scale_b
        np.add(a, b, out=y[power])
    y[3] += m[5]

"""Matrix products without rounding: the same bytes from every BLAS, on any number of threads.

A float64 product whose partial sums are all representable does not round, so the order in which a BLAS adds leaves no trace. To that end
both operands are rounded first: each row of the left one, over a run of some hundred numbers, to a multiple of 2**-24 of the power of two
above its largest value (or that of several rows), and each column of the right one to a grid that bounds its sum of magnitudes. With g the
product of the two grids,

    |sum of a_i b_i| <= max |a| sum |b_i| <= 2**53 g

holds for every subset of the terms, and each term is a multiple of g: all are integers of at most 2**53 times g, which float64 holds. The
sums over several runs are then added in the order of the runs, which is ordinary rounded addition.

Rounding is two additions, (x + 1.5 * 2**52 grid) - 1.5 * 2**52 grid, each correctly rounded by IEEE 754 and each a numpy call of its own,
so that no compiler fuses or cancels them. The right operand is rounded once, when a model is opened, and stays float32: numbers above 2**24
grids are multiples of the grid as they are. Ozaki et al. 2012 (Numerical Algorithms 59) split further until nothing is lost; the error of
this one slice is about that of a float32 product already.
"""

import math
from typing import Any, Protocol

import numpy as np

from sdrt.arrays import Float
from sdrt.exact.sums import tree_sum

__all__ = ["Workspace", "accumulate", "multiply", "round_below", "round_left", "round_right", "runs"]

_RUN = 640  # terms that are summed without rounding; the fewer, the finer the grids, and the more passes over the result
_LEFT_BITS = 24
_SUM_BITS = 53  # float64's
_MAGIC_BITS = 52  # 1.5 * 2**52 grids: the last place of such a number is one grid
_FLOAT64 = np.dtype(np.float64)
_COLUMNS = 384  # of the right operand that are rounded or widened at a time, so that they and their results stay in a core's cache
# Room below a power of two for what rounding to the grid adds to a sum of magnitudes, and for the rounding of that sum.
_ROOM = 1.0 + 2.0**-20


class Workspace(Protocol):
    """Memory that is used again and again, by name."""

    def take(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Float:
        """Return an array of this shape, C-contiguous and not initialised."""
        ...


def runs(depth: int) -> tuple[slice, ...]:
    """Cut a sum of this many terms into runs that are summed without rounding.

    >>> runs(1280), runs(700)
    ((slice(0, 640, None), slice(640, 1280, None)), (slice(0, 350, None), slice(350, 700, None)))
    """
    count = max(1, -(-depth // _RUN))
    size = -(-depth // count)
    return tuple(slice(start, min(start + size, depth)) for start in range(0, depth, size)) or (slice(0, 0),)


def round_right(b: Float) -> Float:
    """Round each column of a right operand, float[..., depth, columns], for `multiply` or `accumulate`; the same shape and dtype.

    The dtype holds the result: numbers that are too large for 24 bits of the grid are unchanged by it.
    """
    rounded = np.empty_like(b)
    for start in range(0, b.shape[-1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        for run in runs(b.shape[-2]):
            part = b[..., run, columns].astype(np.float64)
            magic = _magic(tree_sum(np.abs(part), -2, keepdims=True) * _ROOM, _SUM_BITS - _LEFT_BITS)
            part += magic
            part -= magic
            rounded[..., run, columns] = part
    return rounded


def round_left(a: Float, out: Float, axis: int = -1) -> None:
    """Round a left operand into ``out``, of its shape: to 24 bits below the largest value along ``axis``, of each run of terms."""
    for run in runs(a.shape[axis]):
        at = (..., run) if axis % a.ndim == a.ndim - 1 else (..., run, slice(None))
        part, rounded = a[at], out[at]
        largest = np.maximum(np.maximum.reduce(part, axis=axis, keepdims=True), -np.minimum.reduce(part, axis=axis, keepdims=True))
        magic = _magic(largest, _LEFT_BITS)
        np.copyto(rounded, part)
        rounded += magic
        rounded -= magic


def round_below(limit: float, a: Float, out: Float) -> None:
    """Round a left operand of magnitudes up to ``limit`` into ``out``, of its shape, by one grid for all."""
    magic = math.ldexp(1.5, math.frexp(limit)[1] + _MAGIC_BITS - _LEFT_BITS)
    np.copyto(out, a)
    out += magic
    out -= magic


def accumulate(a: Float, b: Float, out: Float, workspace: Workspace) -> None:
    """``out`` = a @ b of operands that are rounded, float64[..., rows, depth] and float64[..., depth, columns]."""
    first, *others = runs(a.shape[-1])
    np.matmul(a[..., first], b[..., first, :], out=out)
    for run in others:
        part = workspace.take("exact part", out.shape, out.dtype)
        np.matmul(a[..., run], b[..., run, :], out=part)
        out += part


def multiply(x: Float, weight: Float, out: Float, workspace: Workspace) -> None:
    """``out`` = x @ weight, float32[rows, columns].

    Parameters
    ----------
    x : float[rows, depth]
        float64 is rounded already; float32 is rounded here, each row alone.
    weight : float32[depth, columns]
        From `round_right`, or some columns of that.
    """
    rows, left = len(x), x
    if x.dtype != _FLOAT64:
        left = workspace.take("exact left", x.shape, _FLOAT64)
        round_left(x, left)
    for start in range(0, weight.shape[1], _COLUMNS):
        columns = slice(start, min(start + _COLUMNS, weight.shape[1]))
        sums = workspace.take("exact sums", (rows, columns.stop - start), _FLOAT64)
        accumulate(left, _widened(weight[:, columns], workspace), sums, workspace)
        np.copyto(out[:, columns], sums, casting="same_kind")


def _widened(weight: Float, workspace: Workspace) -> Float:
    """Return the same numbers in float64, in the same order of memory."""
    transposed = weight.strides[0] < weight.strides[1]
    wide = workspace.take("exact right", weight.shape[::-1] if transposed else weight.shape, _FLOAT64)
    wide = wide.T if transposed else wide
    np.copyto(wide, weight)
    return wide


def _magic(size: Float, bits: int) -> Float:
    """1.5 * 2**52 grids, where a grid is 2**-bits of the power of two above each size."""
    magic: Float = np.ldexp(1.5, np.frexp(size.astype(np.float64))[1] + (_MAGIC_BITS - bits))
    return magic

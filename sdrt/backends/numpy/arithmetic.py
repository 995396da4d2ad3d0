"""The operations of the kernels whose last bits IEEE 754 leaves open, behind one record: what a network's ``numerics`` decides.

Kernels write + - * / and square roots as they stand, for these are the same everywhere. Products, sums, exponentials and waves they take
from here: from numpy and its BLAS, or from `exact`, where each is built so that nothing is open.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.attention_heads import attend_heads
from sdrt.backends.numpy.exponential import FASTEST, Exponential
from sdrt.backends.numpy.scratch import Scratch

__all__ = ["FLOATING", "Arithmetic", "MapBlocks", "Total"]


class MapBlocks(Protocol):
    """See `ThreadTeam.map_blocks`."""

    def __call__(self, work: Callable[[Any], None], blocks: Iterable[Any], flops: float) -> None: ...


class Total(Protocol):
    """Sum over one axis or several."""

    def __call__(
        self, x: Float, axis: int | tuple[int, ...], *, dtype: type[np.floating] | None = None, keepdims: bool = False
    ) -> Float: ...


@dataclass(frozen=True)
class Arithmetic:
    """What kernels compute with.

    Parameters
    ----------
    pack : callable
        Prepare the right operand of a product, float[..., depth, columns], once, when it is loaded: the same shape and dtype. It acts on
        each column alone, so operands of one depth may be packed before they are joined.
    operand : callable
        ``operand(x, scratch, map_blocks)``: prepare a left operand, float[n, ..., depth], once for all blocks of a product: the same shape,
        in scratch memory or ``x`` itself. Blocks of rows may be cut from it.
    picture : callable
        The same for pictures, float[n, h, w, c]: rows may be gathered from several pixels of one.
    multiply : callable
        ``multiply(x, weight, out, scratch)``: ``out`` = x @ weight, float[rows, depth] that was prepared or comes as it is, and a packed
        float[depth, columns] or some of its columns.
    total : Total
    exponential : Exponential
    attend_heads : callable
        See `attention_heads.attend_heads`.
    exp, cos, sin : callable
        Of float arrays, in their dtype; for few numbers.
    one_way : bool
        Whether a kernel with a faster way goes it even where its weights stay in their file, so that memory decides no byte.
    """

    pack: Callable[[Float], Float]
    operand: Callable[[Float, Scratch, MapBlocks], Float]
    picture: Callable[[Float, Scratch, MapBlocks], Float]
    multiply: Callable[[Float, Float, Float, Scratch], None]
    total: Total
    exponential: Exponential
    attend_heads: Callable[[Scratch, Float, Float, Float, Float, int | None], None]
    exp: Callable[[Float], Float]
    cos: Callable[[Float], Float]
    sin: Callable[[Float], Float]
    one_way: bool = False


def _as_it_is(x: Float, *_: object) -> Float:
    return x


def _matmul(x: Float, weight: Float, out: Float, _: Scratch) -> None:
    np.matmul(x, weight, out=out)


def _reduce(x: Float, axis: int | tuple[int, ...], *, dtype: type[np.floating] | None = None, keepdims: bool = False) -> Float:
    total: Float = x.sum(axis, dtype, keepdims=keepdims)
    return total


# numpy's own, in float32 or float64
FLOATING = Arithmetic(_as_it_is, _as_it_is, _as_it_is, _matmul, _reduce, FASTEST, attend_heads, np.exp, np.cos, np.sin)

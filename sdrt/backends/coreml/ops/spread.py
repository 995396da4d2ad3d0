"""One elementwise function over a team of threads, in the memory order of its largest operand.

An array may lie in memory as NHWC while its axes read NCHW; results keep that order, so that nothing is ever moved for an addition.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import split

__all__ = ["in_memory_order", "spread"]

_NUMBERS = 2**16  # numbers a piece: what a core's second-level cache holds of three float32 arrays
_FLOPS = 8.0  # what a number costs, in products' time, where the function is as cheap as an addition


def spread(team: ThreadTeam, function: Callable[..., Any], *arrays: Array, dtype: Any = None, cost: float = 1.0) -> Array:
    """``function(*arrays)`` with numpy's broadcasting.

    Parameters
    ----------
    function : callable
        Takes pieces of the arrays and ``out=``, as a ufunc does.
    dtype : dtype or None
        Of the result; the first array's where it is None.
    cost : float
        Of a number, in additions.
    """
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    like = next((array for array in arrays if array.shape == shape), None)
    kind = np.dtype(dtype) if dtype is not None else arrays[0].dtype
    out = np.empty(shape, kind) if like is None else np.empty_like(like, dtype=kind)
    if out.size <= _NUMBERS or out.ndim == 0:
        function(*arrays, out=out)
        return out
    flat = [in_memory_order(array) if array.shape == shape else array.reshape(()) if array.size == 1 else None for array in arrays]
    target = in_memory_order(out)
    matching = all(array.shape != shape or array.strides == _strides_like(out, array) for array in arrays)
    pieces = split(out.size, -(-out.size // _NUMBERS))
    if matching and target is not None and all(array is not None for array in flat):

        def run(at: slice) -> None:
            function(*(array if array is None or array.ndim == 0 else array[at] for array in flat), out=target[at])

        team.map_blocks(run, pieces, _FLOPS * cost * out.size)
        return out
    axis = max(range(out.ndim), key=lambda index: (out.shape[index] > 1, out.strides[index]))
    wide = [np.broadcast_to(array, shape) for array in arrays]

    def slab(at: slice) -> None:
        where = (slice(None),) * axis + (at,)
        function(*(array[where] for array in wide), out=out[where])

    team.map_blocks(slab, split(shape[axis], -(-out.size // _NUMBERS)), _FLOPS * cost * out.size)
    return out


def in_memory_order(x: Array) -> Array | None:
    """All numbers as one run of memory, as a view; None where they do not lie side by side."""
    flat = x.ravel(order="K")
    return flat if np.shares_memory(flat, x) or not x.size else None


def _strides_like(out: Array, array: Array) -> tuple[int, ...]:
    """Compute the strides that ``array`` would have if it lay in memory as ``out`` does; axes of length 1 do not count."""
    return tuple(
        own if size == 1 else stride // out.itemsize * array.itemsize
        for own, stride, size in zip(array.strides, out.strides, array.shape, strict=True)
    )

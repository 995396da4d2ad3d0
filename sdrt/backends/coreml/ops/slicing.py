# ruff: noqa: ARG001 - every parameter of MIL stands in the signature, also where the result does not depend on it
"""Cutting out, padding and writing into slices."""

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import axis_of, integer, integers, number, text
from sdrt.backends.coreml.ops.registry import Shape, operation

__all__ = ["slice_by_index"]


def _flags(mask: Array | None, rank: int) -> tuple[bool, ...]:
    return (False,) * rank if mask is None else tuple(map(bool, integers(mask)))


def _where(
    x: Array,
    begin: Array,
    end: Array,
    stride: Array | None,
    begin_mask: Array | None,
    end_mask: Array | None,
    squeeze_mask: Array | None,
) -> tuple[int | slice, ...]:
    """Numpy's index for MIL's slices. A masked begin or end is the whole way; a squeezed axis takes the number at begin and goes."""
    starts, stops = integers(begin), integers(end)
    steps = (1,) * x.ndim if stride is None else integers(stride)
    masks = [_flags(mask, x.ndim) for mask in (begin_mask, end_mask, squeeze_mask)]
    if not all(len(item) == x.ndim for item in (starts, stops, steps, *masks)) or 0 in steps:
        raise ValueError(f"begin, end, stride and masks have a number for each of {x.ndim} axes, and no stride is 0")
    where: list[int | slice] = []
    for axis, (from_start, to_end, squeezed) in enumerate(zip(*masks, strict=True)):
        if squeezed:
            where.append(0 if from_start else starts[axis])
        else:
            where.append(slice(None if from_start else starts[axis], None if to_end else stops[axis], steps[axis]))
    return tuple(where)


@operation("slice_by_index", moves=True)
def slice_by_index(
    x: Array,
    begin: Array,
    end: Array,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> Array:
    """x[begin:end:stride, ...], with Python's meaning of negative numbers."""
    return np.asarray(x[_where(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)])


@operation("slice_update", moves=True)
def slice_update(
    x: Array,
    update: Array,
    begin: Array,
    end: Array,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> Array:
    """X with ``update`` written where `slice_by_index` would read."""
    out = x.copy()
    where = _where(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    if out[where].shape != update.shape:
        raise ValueError(f"an update of shape {list(update.shape)} does not fit a slice of shape {list(out[where].shape)}")
    out[where] = update
    return out


@operation("slice_by_size", moves=True)
def slice_by_size(x: Array, begin: Array, size: Array) -> Array:
    """As many numbers from ``begin`` on; -1 takes the rest."""
    starts, counts = integers(begin), integers(size)
    if len(starts) != x.ndim or len(counts) != x.ndim:
        raise ValueError(f"begin and size have a number for each of {x.ndim} axes")
    where = []
    for axis, (start, count) in enumerate(zip(starts, counts, strict=True)):
        first = start + x.shape[axis] if start < 0 else start
        if first < 0 or count < -1 or first + max(count, 0) > x.shape[axis]:
            raise ValueError(f"{count} numbers from {start} on leave an axis of {x.shape[axis]}")
        where.append(slice(first, None if count == -1 else first + count))
    return x[tuple(where)]


def _around(x: Array, pad: Array) -> list[tuple[int, int]]:
    """Return the padding of every axis; ``pad`` counts from the last axis, and axes before it have none."""
    given = integers(pad)
    if len(given) % 2 or len(given) > 2 * x.ndim or min(given, default=0) < 0:
        raise ValueError(f"pad must have two numbers, at least 0, for some of the last of {x.ndim} axes, got {list(given)}")
    return [(0, 0)] * (x.ndim - len(given) // 2) + list(zip(given[::2], given[1::2], strict=True))


def _padded_shape(x: Array, pad: Array, mode: Array | str = "constant", constant_val: Array | float = 0.0) -> Shape:
    return tuple(size + before + after for size, (before, after) in zip(x.shape, _around(x, pad), strict=True))


@operation("pad", sizes=_padded_shape, moves=True)
def pad(x: Array, pad: Array, mode: Array | str = "constant", constant_val: Array | float = 0.0) -> Array:
    """Pad with one value, with the picture mirrored about its edge, or with its edge repeated; the memory order is kept."""
    around = _around(x, pad)
    kind = text(mode)
    if kind == "constant":
        order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
        framed = np.pad(x.transpose(order), [around[axis] for axis in order], constant_values=number(constant_val))
        return framed.transpose(np.argsort(order))
    if kind not in ("reflect", "replicate"):
        raise ValueError(f"mode must be constant, reflect or replicate, got {kind!r}")
    return np.pad(x, around, "edge" if kind == "replicate" else "reflect")


@operation("band_part", moves=True)
def band_part(x: Array, lower: Array | int = -1, upper: Array | int = -1) -> Array:
    """Set the last two axes' matrices to zero outside a band round the diagonal; a negative bound keeps that whole side."""
    below, above = integer(lower), integer(upper)
    row, column = np.ogrid[: x.shape[-2], : x.shape[-1]]
    kept = ((row - column <= below) | (below < 0)) & ((column - row <= above) | (above < 0))
    return np.asarray(np.where(kept, x, x.dtype.type(0)))


@operation("sliding_windows", moves=True)
def sliding_windows(x: Array, axis: Array, size: Array, stride: Array | int = 1) -> Array:
    """Windows along an axis, as a new axis after it."""
    along = axis_of(axis, x.ndim)
    view = np.lib.stride_tricks.sliding_window_view(x, integer(size), axis=along)
    taken = view[(slice(None),) * along + (slice(None, None, integer(stride)),)]
    return np.moveaxis(taken, -1, along + 1)

# ruff: noqa: ARG001 - every parameter of MIL stands in the signature, also where the result does not depend on it
"""Gathering, scattering and sorting. Negative indices count from the end in every version of the operations.

iOS 17 leaves open what an index outside the array gives unless ``validate_indices`` is set; here it is an error always.
"""

from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import axis_of, flag, integer, number, text
from sdrt.backends.coreml.ops.registry import Shape, operation
from sdrt.models.mlpackage.dtypes import NUMPY

__all__ = ["gather", "gather_nd"]


def _gathered_shape(
    x: Array, indices: Array, axis: Array | int = 0, batch_dims: Array | int = 0, validate_indices: Array | bool = False
) -> Shape:
    along, batch = axis_of(axis, x.ndim), integer(batch_dims)
    return (*x.shape[:along], *indices.shape[batch:], *x.shape[along + 1 :])


@operation("gather", sizes=_gathered_shape, moves=True)
def gather(x: Array, indices: Array, axis: Array | int = 0, batch_dims: Array | int = 0, validate_indices: Array | bool = False) -> Array:
    """Slices of x along an axis, one for each index; the first ``batch_dims`` axes of both go together."""
    along, batch = axis_of(axis, x.ndim), integer(batch_dims)
    places = _indices(indices)
    if batch == 0:
        return np.take(x, places, axis=along)
    if not 0 < batch <= min(along, indices.ndim) or x.shape[:batch] != indices.shape[:batch]:
        raise ValueError(f"batch_dims {batch} does not fit axis {along} of {list(x.shape)} and indices {list(indices.shape)}")
    rows = [np.take(x[at], places[at], axis=along - batch) for at in np.ndindex(*x.shape[:batch])]
    return np.stack(rows).reshape(*x.shape[:batch], *rows[0].shape)


@operation("gather_along_axis", moves=True)
def gather_along_axis(x: Array, indices: Array, axis: Array | int = 0, validate_indices: Array | bool = False) -> Array:
    """For each index, the number at its own place with the axis' coordinate replaced."""
    return np.take_along_axis(x, _indices(indices), axis_of(axis, x.ndim))


@operation("gather_nd", moves=True)
def gather_nd(x: Array, indices: Array, batch_dims: Array | int = 0, validate_indices: Array | bool = False) -> Array:
    """Slices of x at coordinates, which stand along the last axis of ``indices``."""
    batch, places = integer(batch_dims), _indices(indices)
    if batch == 0:
        return np.asarray(x[tuple(np.moveaxis(places, -1, 0))])
    if x.shape[:batch] != indices.shape[:batch]:
        raise ValueError(f"batch_dims {batch} does not fit {list(x.shape)} and indices {list(indices.shape)}")
    rows = [np.asarray(x[at][tuple(np.moveaxis(places[at], -1, 0))]) for at in np.ndindex(*x.shape[:batch])]
    return np.stack(rows).reshape(*x.shape[:batch], *rows[0].shape)


# how a number that is there already and one that comes make one
_MODES: dict[str, np.ufunc] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
}


def _write(data: Array, where: Any, updates: Array, mode: Array | str) -> Array:
    """Write numbers into a copy of ``data``, or combine them with it one after another where a place occurs twice."""
    kind = text(mode)
    out = data.copy()
    if kind == "update":
        out[where] = updates
    elif kind in _MODES:
        _MODES[kind].at(out, where, updates)
    else:
        raise ValueError(f"mode must be update, {', '.join(_MODES)}, got {kind!r}")
    return out


@operation("scatter", moves=True)
def scatter(
    data: Array, indices: Array, updates: Array, axis: Array | int = 0, mode: Array | str = "add", validate_indices: Array | bool = False
) -> Array:
    """Slices written along an axis at the indices."""
    along = axis_of(axis, data.ndim)
    return _write(data, (slice(None),) * along + (_indices(indices),), updates, mode)


@operation("scatter_along_axis", moves=True)
def scatter_along_axis(
    data: Array, indices: Array, updates: Array, axis: Array | int = 0, mode: Array | str = "add", validate_indices: Array | bool = False
) -> Array:
    """Each number of ``updates`` written at its own place with the axis' coordinate replaced."""
    along = axis_of(axis, data.ndim)
    where: list[Any] = list(np.ogrid[tuple(slice(size) for size in indices.shape)])
    where[along] = _indices(indices)
    return _write(data, tuple(where), updates, mode)


@operation("scatter_nd", moves=True)
def scatter_nd(data: Array, indices: Array, updates: Array, mode: Array | str = "add", validate_indices: Array | bool = False) -> Array:
    """Slices written at coordinates, which stand along the last axis of ``indices``."""
    return _write(data, tuple(np.moveaxis(_indices(indices), -1, 0)), updates, mode)


@operation("argsort")
def argsort(x: Array, axis: Array | int = -1, ascending: Array | bool = False) -> Array:
    """Where the numbers of an axis stand in order, descending unless asked otherwise; equal ones keep their order."""
    keys = x if flag(ascending) else _descending(x)
    return np.argsort(keys, axis=axis_of(axis, x.ndim), kind="stable").astype(np.int32)


@operation("topk")
def topk(
    x: Array,
    k: Array | int = 1,
    axis: Array | int = -1,
    ascending: Array | bool = False,
    sort: Array | bool = True,
    return_indices: Array | bool = True,
    output_indices_dtype: Array | str = "int32",
) -> tuple[Array, ...]:
    """Find the greatest numbers of an axis (the least if ascending), and their indices."""
    along, count = axis_of(axis, x.ndim), integer(k)
    count = x.shape[along] if count == -1 else count
    if not 0 <= count <= x.shape[along]:
        raise ValueError(f"k must be at most {x.shape[along]}, the length of the axis, got {count}")
    order = np.argsort(x if flag(ascending) else _descending(x), axis=along, kind="stable")
    places = np.take(order, np.arange(count), axis=along)
    values = np.take_along_axis(x, places, along)
    return (values, places.astype(NUMPY[text(output_indices_dtype)])) if flag(return_indices) else (values,)


@operation("non_zero")
def non_zero(x: Array) -> Array:
    """Coordinates of the numbers that are not 0, int32[count, rank]."""
    return np.argwhere(x).astype(np.int32)


def _one_hot_shape(
    indices: Array, one_hot_vector_size: Array, axis: Array | int = -1, on_value: Array | float = 1, off_value: Array | float = 0
) -> Shape:
    at = axis_of(axis, indices.ndim + 1)
    return (*indices.shape[:at], integer(one_hot_vector_size), *indices.shape[at:])


@operation("one_hot", sizes=_one_hot_shape)
def one_hot(
    indices: Array, one_hot_vector_size: Array, axis: Array | int = -1, on_value: Array | float = 1, off_value: Array | float = 0
) -> Array:
    """Make a new axis with ``on_value`` at the index and ``off_value`` elsewhere; an index outside the axis sets nothing."""
    at = axis_of(axis, indices.ndim + 1)
    hot = np.expand_dims(indices, at) == np.arange(integer(one_hot_vector_size)).reshape(-1, *[1] * (indices.ndim - at))
    kind = on_value.dtype if isinstance(on_value, np.ndarray) else np.dtype(np.int32)
    return np.asarray(np.where(hot, number(on_value), number(off_value))).astype(kind)


def _indices(indices: Array) -> Array:
    return indices.astype(np.int64, copy=False)


def _descending(x: Array) -> Array:
    return -x.astype(np.int64) if x.dtype.kind in "iub" else -x

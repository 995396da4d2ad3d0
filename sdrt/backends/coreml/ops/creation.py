# ruff: noqa: ARG005 - every parameter of MIL stands in the signature, also where the result does not depend on it
"""Operations that make numbers from a few, and running sums."""

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import axis_of, flag, integers
from sdrt.backends.coreml.ops.registry import Shape, operation

__all__: list[str] = []

_ZERO = np.zeros((), np.float32)


@operation("fill", sizes=lambda shape, value=_ZERO: integers(shape), moves=True)
def fill(shape: Array, value: Array = _ZERO) -> Array:
    """One value in a given shape."""
    return np.full(integers(shape), value.reshape(()), value.dtype)


@operation("fill_like", moves=True)
def fill_like(ref_tensor: Array, value: Array = _ZERO) -> Array:
    """One value in another array's shape."""
    return np.full(ref_tensor.shape, value.reshape(()), value.dtype)


def _range_shape(end: Array, start: Array, step: Array) -> Shape:
    low, high, by = (float(item.reshape(())) for item in (start, end, step))
    if by == 0 or not np.isfinite([low, high, by]).all():
        raise ValueError(f"step must not be 0 from {low} to {high}, got {by}")
    return (max(0, int(np.ceil((high - low) / by))),)


@operation("range_1d", sizes=_range_shape)
def range_1d(end: Array, start: Array, step: Array) -> Array:
    """Numbers from start up to, and without, end."""
    (count,) = _range_shape(end, start, step)
    return np.asarray(start.reshape(()) + np.arange(count) * step.reshape(())).astype(start.dtype)


@operation("cumsum")
def cumsum(x: Array, axis: Array | int = 0, exclusive: Array | bool = False, reverse: Array | bool = False) -> Array:
    """Compute running sums along an axis: with or without the number itself, from the front or from the back."""
    along = axis_of(axis, x.ndim)
    way = np.flip(x, along) if flag(reverse) else x
    sums = np.cumsum(way, axis=along, dtype=np.float64 if x.dtype.kind == "f" else None)
    if flag(exclusive):
        sums = sums - way
    return np.asarray(np.flip(sums, along) if flag(reverse) else sums).astype(x.dtype)

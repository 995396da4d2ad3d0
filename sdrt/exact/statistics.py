"""Means, deviations and products of arrays in a fixed order, in float64, rounded once to the arrays' own type."""

from typing import Any

import numpy as np

from sdrt.arrays import F64, Array, Float
from sdrt.exact.sums import tree_sum

__all__ = ["deviation", "matmul", "mean", "tensordot"]


def mean(x: Float, axis: int | tuple[int, ...] | None = None, dtype: Any = None) -> Any:
    """Return the mean over some axes, or over all, as np.mean takes it."""
    axes = _axes(x, axis)
    total = tree_sum(x, axes, dtype=np.float64)
    return (total / _count(x, axes)).astype(x.dtype if dtype is None else dtype)[()]


def deviation(x: Float, axis: tuple[int, ...]) -> Float:
    """Return the deviation of a sample over some axes, which stay with length 1: np.std with ddof 1."""
    count = _count(x, axis)
    wide: F64 = x.astype(np.float64)
    centred = wide - tree_sum(wide, axis, keepdims=True) / count
    with np.errstate(all="ignore"):
        variance = tree_sum(centred * centred, axis, keepdims=True) / np.float64(count - 1)
    return np.sqrt(variance).astype(x.dtype)


def matmul(a: Array, b: Float) -> Float:
    """Return a @ b for b of one or two dimensions: the products of each place along the depth are added in turn."""
    kind = np.result_type(a, b)
    wide = b.astype(np.float64)
    total = np.zeros((*a.shape[:-1], *b.shape[1:]))
    for k in range(b.shape[0]):
        column = a[..., k].astype(np.float64)
        total += column * wide[k] if b.ndim == 1 else column[..., None] * wide[k]
    return total.astype(kind)


def tensordot(a: Float, b: Float, axes: tuple[int, int]) -> Float:
    """Return the contraction of one axis of each array: the other axes of ``a``, then those of ``b``."""
    left, right = np.moveaxis(a, axes[0], -1), np.moveaxis(b, axes[1], 0)
    product = matmul(left.reshape(-1, left.shape[-1]), right.reshape(len(right), -1))
    return product.reshape(left.shape[:-1] + right.shape[1:])


def _axes(x: Float, axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)


def _count(x: Float, axes: tuple[int, ...]) -> int:
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return count

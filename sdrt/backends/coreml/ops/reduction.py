"""Reductions over axes: all of them where none are given; counted from the end where negative."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import axes_of, axis_of, flag, text
from sdrt.backends.coreml.ops.registry import operation
from sdrt.models.mlpackage.dtypes import NUMPY

__all__: list[str] = []


def _reduction(name: str, function: Callable[..., Any]) -> None:
    @operation(name)
    def reduction(x: Array, axes: Array | None = None, keep_dims: Array | bool = False) -> Array:
        along = axes_of(axes, x.ndim)
        return np.asarray(function(x, axis=along, keepdims=flag(keep_dims))).astype(x.dtype, copy=False)


def _mean(x: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    # a sum of many float32 numbers is taken pairwise only along the fastest axis: float64 keeps the others as good
    return np.mean(x, axis=axis, keepdims=keepdims, dtype=np.float64)


def _log_sum_exp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    highest = np.max(x, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(x - highest), axis=axis, keepdims=True)) + highest
    return total if keepdims else np.squeeze(total, axis=axis)


_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_mean": _mean,
    "reduce_sum": np.sum,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "reduce_l1_norm": lambda x, **how: np.sum(np.abs(x), **how),
    "reduce_l2_norm": lambda x, **how: np.sqrt(np.sum(np.square(x), **how)),
    "reduce_sum_square": lambda x, **how: np.sum(np.square(x), **how),
    "reduce_log_sum": lambda x, **how: np.log(np.sum(x, **how)),
    "reduce_log_sum_exp": _log_sum_exp,
}
for _name, _function in _REDUCTIONS.items():
    _reduction(_name, _function)


def _index(name: str, function: Callable[..., Any]) -> None:
    @operation(name)
    def index(x: Array, axis: Array | int = -1, keep_dims: Array | bool = False, output_dtype: Array | str = "int32") -> Array:
        reduced = function(x, axis=axis_of(axis, x.ndim), keepdims=flag(keep_dims))
        return np.asarray(reduced).astype(NUMPY[text(output_dtype).lower()])


# of several extremes, the first
_index("reduce_argmax", np.argmax)
_index("reduce_argmin", np.argmin)

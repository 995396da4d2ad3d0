"""Pooling over one to three spatial axes."""

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import flag, integers
from sdrt.backends.coreml.ops.registry import operation
from sdrt.backends.coreml.ops.windows import Windows, windows_of

__all__: list[str] = []


def _windows(
    x: Array, kernel_sizes: Array, strides: Array | None, pad_type: Array | str, pad: Array | None, ceil_mode: Array | bool
) -> Windows:
    return windows_of(x.shape[2:], integers(kernel_sizes), strides=strides, pad_type=pad_type, pad=pad, ceil_mode=flag(ceil_mode))


@operation("max_pool")
def max_pool(
    x: Array,
    kernel_sizes: Array,
    pad_type: Array | str = "valid",
    strides: Array | None = None,
    pad: Array | None = None,
    ceil_mode: Array | bool = False,
) -> Array:
    """Take the greatest number of each window; padding is never taken."""
    windows = _windows(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    view = windows.view(windows.padded(x, -np.inf))
    return np.asarray(view.max(axis=tuple(range(x.ndim, view.ndim))))


@operation("avg_pool")
def avg_pool(
    x: Array,
    kernel_sizes: Array,
    pad_type: Array | str = "valid",
    strides: Array | None = None,
    pad: Array | None = None,
    exclude_padding_from_average: Array | bool = False,
    ceil_mode: Array | bool = False,
) -> Array:
    """Take the mean of each window, padding counted as zeros or not counted; what ``ceil_mode`` adds beyond the padding never counts."""
    windows = _windows(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    view = windows.view(windows.padded(x))
    axes = tuple(range(x.ndim, view.ndim))
    inside = np.ones(x.shape[2:])
    if flag(exclude_padding_from_average):
        counted = windows.padded(inside)
    else:
        padded = _windows(x, kernel_sizes, strides, pad_type, pad, False).padded(inside, 1.0)
        wanted = windows.padded(inside).shape
        counted = np.pad(padded, [(0, max(0, want - have)) for have, want in zip(padded.shape, wanted, strict=True)])
    divisor = windows.view(counted).sum(axis=tuple(range(counted.ndim, 2 * counted.ndim)))
    return np.asarray(view.sum(axis=axes, dtype=np.float64) / divisor).astype(x.dtype)


@operation("l2_pool")
def l2_pool(
    x: Array,
    kernel_sizes: Array,
    pad_type: Array | str = "valid",
    strides: Array | None = None,
    pad: Array | None = None,
    ceil_mode: Array | bool = False,
) -> Array:
    """Take the root of the sum of squares of each window."""
    windows = _windows(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    view = windows.view(windows.padded(np.square(x, dtype=np.float64)))
    return np.asarray(np.sqrt(view.sum(axis=tuple(range(x.ndim, view.ndim))))).astype(x.dtype)

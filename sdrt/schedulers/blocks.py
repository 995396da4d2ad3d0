"""Elementwise arithmetic in blocks: a chain of numpy passes over a large array is faster when its temporaries stay in cache."""

from collections.abc import Callable

import numpy as np

from sdrt.arrays import Float

__all__ = ["in_blocks"]

_BLOCK = 1 << 15  # elements: 128 KiB in float32, so that a handful of operands fits the second-level cache


def in_blocks(kernel: Callable[..., Float], *arrays: Float) -> Float:
    """Return ``kernel(*arrays)`` for an elementwise kernel, in a fresh array of the first one's shape and dtype.

    Parameters
    ----------
    kernel : function of as many arrays, all of one shape, to one array of that shape
        It may give back one of its arguments, and must not write to them.
    """
    first = arrays[0]
    if first.size <= _BLOCK:
        return kernel(*arrays)
    out = np.empty(first.shape, first.dtype)
    flat_out, flat = out.reshape(-1), [a.reshape(-1) for a in arrays]
    for start in range(0, first.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        flat_out[part] = kernel(*(a[part] for a in flat))
    return out

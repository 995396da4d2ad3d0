"""Sums in a fixed tree: the same bytes on every machine.

numpy does not say in which order `np.add.reduce` adds; it depends on the layout in memory and on the processor's vectors. Here halves are
added number by number, which leaves no choice, and rounds less than one running sum does (Higham 1993, section 4).
"""

from typing import Any

import numpy as np

from sdrt.arrays import Float

__all__ = ["tree_sum"]

_NARROW = 16  # terms that are left when they are moved to the front of the memory: short rows are slow to add


def tree_sum(x: Float, axis: int | tuple[int, ...], *, dtype: np.dtype[Any] | type | None = None, keepdims: bool = False) -> Float:
    """Sum over one axis, or over several from the last to the first: the second half of the terms is added to the first, again and again.

    Parameters
    ----------
    x : float32 or float64
    dtype : dtype or None
        Of the terms and their sums; that of ``x`` where None.

    >>> tree_sum(np.array([[1.0, 2.0, 4.0]]), 1), tree_sum(np.ones((2, 3, 4)), (0, 2))
    (array([7.]), array([8., 8., 8.]))
    """
    axes = sorted((each % x.ndim for each in (axis if isinstance(axis, tuple) else (axis,))), reverse=True)
    total = x if dtype is None else x.astype(dtype, copy=False)
    for each in axes:
        total = np.expand_dims(_sum_first(np.moveaxis(total, each, 0)), each)
    return total if keepdims else total.squeeze(tuple(axes))


def _sum_first(terms: Float) -> Float:
    """Sum over the first axis."""
    count = len(terms)
    if count < 2:
        return terms[0].copy() if count else np.zeros(terms.shape[1:], terms.dtype)
    half = (count + 1) // 2
    # the layout of the terms, so that long runs are added
    total = np.empty_like(terms[:half])
    np.add(terms[: count - half], terms[half:], out=total[: count - half])
    total[count - half :] = terms[count - half : half]
    moved = False
    while half > 1:
        if half <= _NARROW and not moved:
            total, moved = np.ascontiguousarray(total), True
        count, half = half, (half + 1) // 2
        total[: count - half] += total[half:count]
    first: Float = total[0]
    return first

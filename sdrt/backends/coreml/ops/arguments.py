"""Reading the constant arguments of operations, which are arrays in a program, as Python values."""

from typing import Any

import numpy as np

from sdrt.arrays import Array

__all__ = ["axes_of", "axis_of", "flag", "integer", "integers", "number", "text"]


def integer(value: Any) -> int:
    """Read a whole number; ValueError if there is none, or several."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iubf":
        raise ValueError(f"one whole number is expected, got {array.dtype}{list(array.shape)}")
    return int(array.reshape(()))


def integers(value: Any) -> tuple[int, ...]:
    """Whole numbers."""
    return tuple(int(item) for item in np.asarray(value).reshape(-1))


def number(value: Any) -> float:
    """Read a real number."""
    return float(np.asarray(value).reshape(()))


def flag(value: Any) -> bool:
    """Read a truth value."""
    return bool(np.asarray(value).reshape(()))


def text(value: Any) -> str:
    """Read a string."""
    return str(np.asarray(value, dtype=object).reshape(()))


def axis_of(value: Any, rank: int) -> int:
    """Count an axis from the front; ValueError if there is no such axis.

    >>> axis_of(-1, 4), axis_of(2, 4)
    (3, 2)
    """
    axis = integer(value)
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is not in [-{rank}, {rank})")
    return axis % rank if rank else 0


def axes_of(value: Array | None, rank: int) -> tuple[int, ...]:
    """Axes counted from the front; all where none are given."""
    return tuple(range(rank)) if value is None else tuple(axis_of(axis, rank) for axis in integers(value))

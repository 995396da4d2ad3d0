"""One layer of a LoRA: what it adds to one weight."""

from collections.abc import Callable
from dataclasses import dataclass

from sdrt.arrays import Array

__all__ = ["Layer"]

Read = Callable[[], Array]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """W + strength · alpha/r · up·down, for a matrix or a convolution.

    Parameters
    ----------
    weight : str
        The canonical name of the weight.
    down : callable that gives f[r, in] or f[r, in, kh, kw]
    up : callable that gives f[out, r] or f[out, r, 1, 1]
    middle : callable that gives f[r, r, kh, kw], or None
        Of a convolution whose two others are over one pixel (Tucker's form).
    scale : float
        alpha / r.
    """

    weight: str
    down: Read
    up: Read
    middle: Read | None
    scale: float

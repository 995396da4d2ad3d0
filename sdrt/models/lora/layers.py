"""One layer of a LoRA: what it adds to one weight.

Source: Hu et al. 2021 (arXiv:2106.09685), equation 3; Yeh et al. 2023 (arXiv:2309.14859), section 3, for convolutions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sdrt.arrays import Array

__all__ = ["Layer", "ReadFactor"]

# Reads a factor from its file: a file is opened without touching its numbers.
ReadFactor: TypeAlias = Callable[[], Array]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """W' = W + strength * scale * up @ down, for a matrix or a convolution.

    Parameters
    ----------
    weight : str
        The canonical name of the weight.
    down : callable that gives f[r, in] or f[r, in, kh, kw]
    up : callable that gives f[out, r] or f[out, r, 1, 1]
    middle : callable that gives f[r, r, kh, kw], or None
        The core of Tucker's form of a convolution, whose two other factors are over one pixel.
    scale : float
        alpha / r.
    """

    weight: str
    down: ReadFactor
    up: ReadFactor
    middle: ReadFactor | None
    scale: float

"""Adams-Bashforth extrapolation, as PNDM and its kin mix the slopes of earlier steps.

Each product and sum is rounded in diffusers' order of operations, so that results agree to the bit.
"""

import numpy as np

from sdrt.arrays import Float

__all__ = ["adams_bashforth", "weighted"]


def adams_bashforth(*e: Float) -> Float:
    """Extrapolate the newest slope by those before it, newest first; the order grows with their number, up to four.

    Source: Liu et al. 2022 (arXiv:2202.09778), equation 12, and its starts.
    """
    match len(e):
        case 1:
            return e[0]
        case 2:
            mixed = weighted((3, -1), e)
            return np.multiply(mixed, 0.5, out=mixed)
        case 3:
            mixed = weighted((23, -16, 5), e)
            return np.divide(mixed, 12, out=mixed)
        case _:
            mixed = weighted((55, -59, 37, -9), e)
            return np.multiply(mixed, 1 / 24, out=mixed)


def weighted(weights: tuple[float, ...], arrays: tuple[Float, ...]) -> Float:
    """Sum from left to right, each product and sum rounded."""
    total: Float = arrays[0] * weights[0]
    term = np.empty_like(total)
    for weight, array in zip(weights[1:], arrays[1:], strict=True):
        np.multiply(array, weight, out=term)
        np.add(total, term, out=total)
    return total

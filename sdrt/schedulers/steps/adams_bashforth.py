"""Adams-Bashforth extrapolation, as PNDM and its kin mix the slopes of earlier steps.

Each product and sum is rounded in diffusers' order of operations, so that results agree to the bit.
"""

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.steps.linear import linear_combination

__all__ = ["adams_bashforth"]


def adams_bashforth(*e: Float) -> Float:
    """Extrapolate the newest slope by those before it, newest first; the order grows with their number, up to four.

    Source: Liu et al. 2022 (arXiv:2202.09778), equation 12, and its starts.
    """
    match len(e):
        case 1:
            return e[0]
        case 2:
            mixed = linear_combination((3, -1), e)
            return np.multiply(mixed, 0.5, out=mixed)
        case 3:
            mixed = linear_combination((23, -16, 5), e)
            return np.divide(mixed, 12, out=mixed)
        case _:
            mixed = linear_combination((55, -59, 37, -9), e)
            return np.multiply(mixed, 1 / 24, out=mixed)

"""Shifting a flow's noise levels towards noise, as larger pictures need (Esser et al. 2024, arXiv:2403.03206, section 5.3.2)."""

import math

from sdrt.arrays import F64

__all__ = ["shifted", "shifted_by_exponent"]


def shifted(sigmas: F64, shift: float) -> F64:
    """Return shift * sigma / (1 + (shift - 1) * sigma): equation 23 with shift = sqrt(m / n), f64 of the same shape in [0, 1]."""
    found: F64 = shift * sigmas / (1 + (shift - 1) * sigmas)
    return found


def shifted_by_exponent(sigmas: F64, mu: float) -> F64:
    """Return the same for shift = exp(mu): the dynamic shift of FLUX, f64 of the same shape."""
    return shifted(sigmas, math.exp(mu))

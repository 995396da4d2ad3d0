"""Shifting a flow's noise levels towards noise, as larger pictures need (Esser et al. 2024, arXiv:2403.03206, section 5.3.2)."""

import math
from typing import Literal

from sdrt.arrays import F64
from sdrt.errors import ConfigError

__all__ = ["TimeShiftType", "dynamic_shift", "shift_sigmas"]

TimeShiftType = Literal["exponential", "linear"]


def shift_sigmas(sigmas: F64, shift: float) -> F64:
    """Return shift * sigma / (1 + (shift - 1) * sigma): equation 23 with shift = sqrt(m / n), f64 of the same shape in [0, 1]."""
    shifted: F64 = shift * sigmas / (1 + (shift - 1) * sigmas)
    return shifted


def dynamic_shift(mu: float, time_shift_type: TimeShiftType) -> float:
    """Return the shift of a picture whose size says mu: exp(mu), FLUX's, or mu itself.

    Raises
    ------
    ConfigError : a shift that is not above 0
    """
    shift = math.exp(mu) if time_shift_type == "exponential" else mu
    if not shift > 0:
        raise ConfigError(f"mu is the shift itself where time_shift_type is linear, and must be above 0, got {mu}")
    return shift

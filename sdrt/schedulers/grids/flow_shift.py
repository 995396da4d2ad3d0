"""Shifting a flow's noise levels towards noise, as larger pictures need (Esser et al. 2024, arXiv:2403.03206, section 5.3.2)."""

from typing import Literal

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.values import Nullable, Number

__all__ = ["SHARE", "TimeShiftType", "check_sizes", "dynamic_shift", "mu_of_size", "shift_sigmas"]

# The kind of ``shift_terminal``, for which 0 means none.
SHARE = Nullable(Number(0, 1))

TimeShiftType = Literal["exponential", "linear"]


def shift_sigmas(sigmas: F64, shift: float) -> F64:
    """Return shift * sigma / (1 + (shift - 1) * sigma): equation 23 with shift = sqrt(m / n), f64 of the same shape in [0, 1]."""
    shifted: F64 = shift * sigmas / (1 + (shift - 1) * sigmas)
    return shifted


def dynamic_shift(mu: float, time_shift_type: TimeShiftType, functions: Functions) -> float:
    """Return the shift of a picture whose size says mu: exp(mu), FLUX's, or mu itself.

    Raises
    ------
    ConfigError : a shift that is not above 0
    """
    shift: float = functions.exp(float(mu)) if time_shift_type == "exponential" else mu
    if not shift > 0:
        raise ConfigError(f"mu must be above 0 where time_shift_type is linear, got {mu}; there it is the shift itself")
    return shift


def mu_of_size(
    image_seq_len: int,
    base_shift: float | None = 0.5,
    max_shift: float | None = 1.15,
    base_image_seq_len: int = 256,
    max_image_seq_len: int = 4096,
) -> float:
    """Return the exponent of the dynamic shift for a picture of so many patches, linear between two sizes.

    Raises
    ------
    ConfigError : no ``base_shift`` or ``max_shift``, or sizes that do not rise

    Source: Black Forest Labs' FLUX, ``get_lin_function``; diffusers 0.42.1 ``calculate_shift``.
    """
    if base_shift is None or max_shift is None:
        raise ConfigError("base_shift and max_shift must be set for mu to follow from them, got None; pass mu itself to plan")
    check_sizes(base_image_seq_len, max_image_seq_len)
    slope = (max_shift - base_shift) / (max_image_seq_len - base_image_seq_len)
    return base_shift + slope * (image_seq_len - base_image_seq_len)


def check_sizes(base_image_seq_len: int, max_image_seq_len: int) -> None:
    """Raise ConfigError for two sizes between which no line can be drawn."""
    if not base_image_seq_len < max_image_seq_len:
        raise ConfigError(
            f"base_image_seq_len must be below max_image_seq_len, got {base_image_seq_len} and {max_image_seq_len}; FLUX has 256 and 4096"
        )

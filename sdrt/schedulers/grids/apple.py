"""What Apple's ml-stable-diffusion 1.1.1 does otherwise where it reads a noise schedule."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.grids.timestep_table import TimestepGrid

__all__ = ["AppleTimestepGrid", "apple_alpha_bar"]


@dataclass(frozen=True, kw_only=True)
class AppleTimestepGrid(TimestepGrid):
    """Another rounding of alpha_bar in float32.

    Raises
    ------
    ConfigError : a schedule that its classes cannot be given
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        apple_alpha_bar(self.schedule, self.functions)

    def alpha_bar(self) -> F64:
        """Return the signal power at every trained timestep, f64[T]."""
        return super().alpha_bar() if self.numerics == "float64" else apple_alpha_bar(self.schedule, self.functions)


def apple_alpha_bar(schedule: NoiseSchedule, functions: Functions) -> F64:
    """Return the signal power at every trained timestep, f64[T], of float32 values.

    Swift's ``linspace`` counts from one end, and its product is rounded at every factor: up to 1.3e-6 from PyTorch's, relative.

    Raises
    ------
    ConfigError : a schedule that its classes cannot be given
    """
    kind, T = schedule.beta_schedule, schedule.num_train_timesteps
    if kind not in ("linear", "scaled_linear") or schedule.trained_betas is not None or schedule.rescale_betas_zero_snr:
        raise ConfigError(
            f"Apple's package knows beta_schedule linear and scaled_linear, without trained_betas or rescale_betas_zero_snr, got {kind!r}; "
            "leave compat out for others"
        )
    root = 0.5 if kind == "scaled_linear" else 1.0
    first, last = (np.float32(functions.power(end, root)) for end in (schedule.beta_start, schedule.beta_end))
    points = np.arange(T, dtype=np.float32) * ((last - first) / np.float32(T - 1)) + first
    betas = points * points if kind == "scaled_linear" else points
    return np.cumprod(1 - betas, dtype=np.float32).astype(np.float64)

"""The noise levels of Karras et al. 2022, "Elucidating the Design Space" (arXiv:2206.00364): x = x0 + sigma * noise, alpha = 1.

The network stands between scalings (equation 7, table 1 "EDM"): its inputs are c_in * x and c_noise, and its output counts as
x0 = c_skip * x + c_out * output.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.schedulers.core.kinds import POSITIVE, whole
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Level, Request
from sdrt.schedulers.core.sampler import Grid
from sdrt.schedulers.core.settings import setting
from sdrt.schedulers.grids.sigmas import FinalSigma, exponential_ratios, karras_ratios

__all__ = ["EDMGrid", "check_range", "input_scales"]


@dataclass(frozen=True, kw_only=True)
class EDMGrid(Grid):
    """Levels spread between the highest and the lowest that were trained.

    Levels that a caller lays down (``sigmas``) are the noise levels of the calls, descending.

    Raises
    ------
    ConfigError : settings that span no range
    """

    accepts: frozenset[str] = frozenset({"sigmas"})
    sigmas_include_final: bool = False
    num_train_timesteps: int = setting(1000, kind=whole(1))
    sigma_min: float = setting(0.002, kind=POSITIVE)  # the noise levels that were trained
    sigma_max: float = setting(80.0, kind=POSITIVE)
    sigma_data: float = setting(0.5, kind=POSITIVE)  # deviation of the training data
    sigma_schedule: Literal["karras", "exponential"] = setting("karras")
    rho: float = setting(7.0, kind=POSITIVE)  # of the karras spread
    final_sigma: FinalSigma = setting("zero", "final_sigmas_type")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.sigma_min, self.sigma_max)

    # ---- noise levels

    def sigmas(self, request: Request) -> F64:
        """Return the noise level at each stop, f64[n + 1], rounded to the numerics' type."""
        calls = self._spread(request.n) if request.sigmas is None else self._check(np.array(request.sigmas))
        return np.append(calls, self._final(float(calls[-1]))).astype(real_type(self.numerics)).astype(np.float64)

    def levels(self, sigmas: F64) -> tuple[Level, ...]:
        """Return the stops of a run at these noise levels, the last of them its end."""
        timesteps = [*self.network_timesteps(sigmas[:-1]).tolist(), 0.0]
        return tuple(Level(timestep, sigma, 1.0, sigma) for timestep, sigma in zip(timesteps, sigmas.tolist(), strict=True))

    def network_timesteps(self, sigmas: F64) -> F64:
        """Return the network's timesteps at these levels, c_noise = log(sigma) / 4: f64[n]."""
        real = real_type(self.numerics)
        c_noise: F64 = (self.functions.log(sigmas).astype(real) * real(0.25)).astype(np.float64)
        return c_noise

    def init_scale(self, raised: float = 1.0) -> float:
        """Return the deviation of the first sample, as diffusers 0.42.1 has it: of the highest noise over data of unit variance.

        ``raised`` is the factor by which churn raises the first level.
        """
        return math.sqrt(self.functions.square(raised * self.sigma_max) + 1)

    def _spread(self, n: int) -> F64:
        """Spread n levels from the highest down to the lowest."""
        if self.sigma_schedule == "karras":
            return karras_ratios(self.sigma_max, self.sigma_min, n, self.rho, self.functions)
        return self._exponential(n)

    def _exponential(self, n: int) -> F64:
        """Spread n levels evenly in their logarithm; a single one is the highest."""
        return exponential_ratios(self.sigma_max, self.sigma_min, n, self.functions)

    def _check(self, levels: F64) -> F64:
        """Return the noise levels that a caller laid down."""
        if levels.min() <= 0 or np.any(np.diff(levels) > 0):
            raise ConfigError(
                f"sigmas must be above 0 and never rise, got {levels[0]:g} to {levels[-1]:g}; sort them from noisy to clean, "
                "without the one at which the run ends"
            )
        return levels

    def _final(self, last: float) -> float:
        """Return the level at which the run ends, after a last one: none, or the lowest that was trained."""
        return 0.0 if self.final_sigma == "zero" else min(last, self.sigma_min)

    # ---- scalings

    def x0_weights(self, sigma: float, *, velocity: bool) -> tuple[float, float]:
        """Return (c_skip, c_out), with which x0 = c_skip * x + c_out * output; a velocity has the other sign."""
        of_data = self.functions.square(self.sigma_data)
        variance = self.functions.square(sigma) + of_data
        sign = -1.0 if velocity else 1.0
        return of_data / variance, sign * sigma * self.sigma_data / math.sqrt(variance)


def input_scales(sigmas: F64, sigma_data: float, functions: Functions) -> tuple[float, ...]:
    """Return c_in of each level: what makes the network's input of unit variance."""
    scales: Float = 1 / np.sqrt(sigmas * sigmas + functions.square(sigma_data))
    return tuple(scales.tolist())


def check_range(sigma_min: float, sigma_max: float) -> None:
    """Raise ConfigError for settings that span no range of noise levels."""
    if not sigma_min < sigma_max:
        raise ConfigError(f"sigma_min must be below sigma_max, got {sigma_min} and {sigma_max}; the paper has 0.002 and 80")

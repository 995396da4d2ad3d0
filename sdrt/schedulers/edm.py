"""Karras et al. 2022, "Elucidating the Design Space" (arXiv:2206.00364): samples x = x0 + sigma * noise, and a network between scalings.

The network sees c_in * x and is told c_noise; what it says counts as x0 = c_skip * x + c_out * output (equation 7, table 1 "EDM").
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.base import Sampler
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.grids.sigmas import FinalSigma, exponential_ratios, karras_at, karras_ratios

__all__ = ["EDM_KEYS", "EDMSampler", "check_karras", "input_scales"]

EDM_KEYS: dict[str, Any] = {
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "sigma_data": 0.5,
    "sigma_schedule": "karras",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rho": 7.0,
    "final_sigmas_type": "zero",
}

_SAME = ("sigma_min", "sigma_max", "sigma_data", "sigma_schedule", "num_train_timesteps", "rho")


@dataclass(frozen=True, kw_only=True)
class EDMSampler(Sampler):
    """What samplers in this formulation share: the scalings, and how the noise levels of a run are chosen.

    Levels that a caller gives are the noise levels of the calls, descending. diffusers 0.42.1 takes them for positions on its own spread,
    0 the noisiest and 1 the cleanest, or looks at their number alone where the spread is exponential.

    Raises
    ------
    ConfigError : settings that span no range
    """

    takes: ClassVar[frozenset[str]] = frozenset({"sigmas"})
    spare_sigmas: ClassVar[int] = 0
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "sigma_schedule": ("karras", "exponential"),
        "prediction_type": ("epsilon", "v_prediction"),
        "final_sigmas_type": ("zero", "sigma_min"),
    }

    num_train_timesteps: int = 1000
    sigma_min: float = 0.002  # the noise levels that were trained
    sigma_max: float = 80.0
    sigma_data: float = 0.5  # deviation of the training data
    sigma_schedule: Literal["karras", "exponential"] = "karras"
    rho: float = 7.0  # of the karras spread
    final_sigma: FinalSigma = "zero"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_karras(self.sigma_min, self.sigma_max, self.sigma_data, self.rho)

    def _config(self) -> dict[str, Any]:
        return super()._config() | {key: getattr(self, key) for key in _SAME} | {"final_sigmas_type": self.final_sigma}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {key: values[key] for key in _SAME} | {"final_sigma": values["final_sigmas_type"]}

    def whole_plan(self) -> Plan:
        """Lay out a run through every trained level."""
        return self._plan(Request(n=self.num_train_timesteps))

    # ---- noise levels

    def _levels(self, request: Request) -> F64:
        """Return the noise level at each stop, f64[n + 1], in the numerics' precision."""
        found = self._spread(request.n) if request.sigmas is None else self._given(np.array(request.sigmas))
        return np.append(found, self._final(float(found[-1]))).astype(real_type(self.numerics)).astype(np.float64)

    def _spread(self, n: int) -> F64:
        """Spread n levels from the highest down to the lowest."""
        if self.sigma_schedule == "karras":
            return karras_ratios(self.sigma_max, self.sigma_min, n, self.rho)
        return self._exponential(n)

    def _exponential(self, n: int) -> F64:
        """Spread n levels evenly in their logarithm. A single one is the highest: diffusers 0.42.1 starts a one-step run at the lowest."""
        if n == 1 and self.compat == "diffusers":
            return np.array([self.sigma_min])
        return exponential_ratios(self.sigma_max, self.sigma_min, n)

    def _given(self, levels: F64) -> F64:
        """Return the noise levels that a caller laid down; see the class for what diffusers makes of them."""
        if self.compat == "diffusers":
            if levels.max() > 1:
                raise ConfigError(
                    f"diffusers takes sigmas for positions in [0, 1], got {levels.max():g}; leave compat out for noise levels"
                )
            if self.sigma_schedule == "exponential":
                return self._exponential(len(levels))
            return karras_at(levels, self.sigma_max, self.sigma_min, self.rho)
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

    def _told(self, sigmas: F64) -> F64:
        """Return what the network is told at each level, c_noise = log(sigma) / 4: f64[n]."""
        real = real_type(self.numerics)
        found: F64 = (np.log(sigmas).astype(real) * real(0.25)).astype(np.float64)
        return found

    def _first_scale(self, raised: float = 1.0) -> float:
        """Return the deviation of the first sample, as diffusers 0.42.1 has it: of the highest noise over data of unit variance.

        ``raised`` is the factor by which churn raises the first level.
        """
        return math.sqrt((raised * self.sigma_max) ** 2 + 1)

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        """Return (c_skip, c_out); a velocity has the other sign. Alpha is 1 here."""
        del alpha
        variance = sigma**2 + self.sigma_data**2
        sign = -1.0 if self.prediction_type == "v_prediction" else 1.0
        return self.sigma_data**2 / variance, sign * sigma * self.sigma_data / math.sqrt(variance)


def input_scales(sigmas: F64, sigma_data: float) -> tuple[float, ...]:
    """Return c_in of each level: what makes the network's input of unit variance."""
    scales: Float = 1 / np.sqrt(sigmas**2 + sigma_data**2)
    return tuple(scales.tolist())


def check_karras(sigma_min: float, sigma_max: float, sigma_data: float, rho: float) -> None:
    """Raise ConfigError for settings that span no range of noise levels."""
    if not 0 < sigma_min < sigma_max:
        raise ConfigError(f"noise levels need 0 < sigma_min < sigma_max, got {sigma_min} and {sigma_max}")
    if not (sigma_data > 0 and rho > 0):
        raise ConfigError(f"sigma_data and rho must be above 0, got {sigma_data} and {rho}; the paper has 0.5 and 7")

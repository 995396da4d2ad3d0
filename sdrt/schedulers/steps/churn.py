"""Churn: noise added on the way down (Karras et al. 2022, arXiv:2206.00364, algorithm 2).

The noise of a stop is added before the network is called there, so each call is made at the raised level: a step ends with the noise of the
next one, and a run begins at the first raised level. The settings move the stops, so they must be known when a run is laid out.

diffusers 0.42.1 calls the network first and adds the noise of a step afterwards: the output belongs to a sample of less noise than the one
that it moves, and the noise of the last step stays in the picture.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.settings import check_fields, option
from sdrt.values import Number

__all__ = ["Churn"]

_HIGHEST_GAMMA = math.sqrt(2) - 1  # algorithm 2: a stop adds at most as much variance as there is


@dataclass(frozen=True, kw_only=True)
class Churn:
    """The amount of added noise, and its range of noise levels: a field of samplers that have these ``step_options``.

    Raises
    ------
    ConfigError : a setting below 0
    """

    step_options: ClassVar[tuple[str, ...]] = ("s_churn", "s_tmin", "s_tmax", "s_noise")

    s_churn: float = option(0.0, Number(0))  # how much noise a whole run adds, spread over its steps; 0 is deterministic
    s_tmin: float = option(0.0, Number(0))  # noise is added between these two noise levels, in the units of the diffusers class
    s_tmax: float = option(math.inf, Number(0, infinite=True))
    s_noise: float = option(1.0, Number(0))  # deviation of that noise; a little above 1 makes up for detail that is lost

    def __post_init__(self) -> None:
        check_fields(self)

    def gammas(self, sigmas: Float, steps: int) -> F64:
        """Return the relative growth of the noise at each stop but the last: sigma_hat = (1 + gamma) * sigma.

        Parameters
        ----------
        sigmas : f[m + 1]
        steps : int
            The number of steps that share ``s_churn``.

        Returns
        -------
        f64[m]
        """
        within = (self.s_tmin <= sigmas[:-1]) & (sigmas[:-1] <= self.s_tmax)
        return np.where(within, min(self.s_churn / steps, _HIGHEST_GAMMA), 0.0)

"""Euler's method on the probability flow, with optional churn (Karras et al. 2022, arXiv:2206.00364, algorithm 2).

With r = sigma / alpha, and r_hat >= r the ratio to which churn raises a stop, a step from r_hat to the next raised stop is

    x' = alpha' * (x0_hat + r' * eps_hat + sqrt(r_hat'**2 - r'**2) * s_noise * z)

In (alpha, sigma) terms, without churn, this is DDIM's step.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.euler import EulerGrid
from sdrt.schedulers.grids.ratio import RatioLevels, levels_of
from sdrt.schedulers.steps.churn import Churn
from sdrt.schedulers.steps.linear import LinearCall, LinearStep, linear_plan

__all__ = ["Euler"]


@dataclass(frozen=True, kw_only=True)
class Euler(Sampler):
    """Hold the predicted x0 and noise direction fixed up to the next stop; :class:`Churn` adds noise."""

    name: ClassVar[str] = "EulerDiscreteScheduler"
    step_options: ClassVar[tuple[str, ...]] = Churn.step_options

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon", foreign={"original_sample": "sample"})
    grid: EulerGrid = group(EulerGrid)
    # continuous: networks that predict v take the timestep log(ratio) / 4 (EDM, SVD)
    timestep_type: Literal["discrete", "continuous"] = setting("discrete")
    churn: Churn = field(default_factory=Churn)

    def _plan(self, request: Request) -> Plan:
        levels = self.grid.levels(request)
        ratios = levels.ratios.astype(np.float64).tolist()
        stops = self._raised_stops(levels)
        calls = [
            LinearCall(at=stop, step=self._step(stop_next, ratio_next), draws=stop_next.ratio > ratio_next)
            for (stop, stop_next), ratio_next in zip(pairwise(stops), ratios[1:], strict=True)
        ]
        return linear_plan(self.prediction_type, calls, stops[-1], self.grid.init_scale(stops[0]))

    def _step(self, level_next: Level, ratio_next: float) -> LinearStep:
        alpha = level_next.alpha
        fresh = self.churn.s_noise * math.sqrt(level_next.ratio * level_next.ratio - ratio_next * ratio_next)
        return LinearStep(x0=alpha, eps=alpha * ratio_next, noise=alpha * fresh)

    def _raised_stops(self, levels: RatioLevels) -> tuple[Level, ...]:
        """Return the stops raised by churn's noise, with the network's timesteps there."""
        ratios = levels.ratios
        raised = np.append(self._raise(ratios), ratios[-1:])
        timesteps = self._network_timesteps(levels.timesteps, ratios, raised)
        return levels_of([*timesteps.tolist(), levels.stops[-1].timestep], raised.astype(np.float64))

    def _raise(self, ratios: Float) -> Float:
        """Return the ratios of all stops but the last, raised by churn's noise: real[n]."""
        raised: Float = ratios[:-1] * (1 + self.churn.gammas(ratios, len(ratios) - 1)).astype(ratios.dtype)
        return raised

    def _network_timesteps(self, timesteps: F64, ratios: Float, raised: Float) -> F64:
        """Return the network's timesteps of the calls, which are made at ``raised``."""
        if self.timestep_type == "continuous" and self.prediction_type == "v_prediction":
            c_noise: F64 = (0.25 * self.functions.log(raised[:-1].astype(np.float64)).astype(raised.dtype)).astype(np.float64)
            return c_noise
        n = len(timesteps)
        moved = raised[:n] > ratios[:n]
        return np.where(moved, self.grid.network_timesteps(raised[:n].astype(np.float64)), timesteps) if moved.any() else timesteps

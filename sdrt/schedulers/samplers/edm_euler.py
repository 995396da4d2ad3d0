"""Euler's method between EDM's scalings (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without its correction).

With sigma_hat >= sigma the level to which churn raises a stop, a step along dx/dsigma = (x - x0_hat) / sigma is

    x' = x + (sigma' - sigma_hat) * (x - x0_hat) / sigma_hat + sqrt(sigma_hat'**2 - sigma'**2) * s_noise * z
"""

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from sdrt.arrays import F64
from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.edm import EDMGrid, input_scales
from sdrt.schedulers.steps.churn import Churn
from sdrt.schedulers.steps.linear import LinearStep, Weights, plan_of

__all__ = ["EDMEuler"]


@dataclass(frozen=True, kw_only=True)
class EDMEuler(Sampler):
    """Follow the predicted slope to the next stop; :class:`Churn` adds noise."""

    name: ClassVar[str] = "EDMEulerScheduler"
    step_options: ClassVar[tuple[str, ...]] = Churn.step_options

    prediction_type: Literal["epsilon", "v_prediction"] = setting("epsilon")
    grid: EDMGrid = group(EDMGrid)
    churn: Churn = field(default_factory=Churn)

    def _whole_plan(self) -> Plan:
        """Lay out a run through every trained level: T + 1 of them, as diffusers counts."""
        return self._plan(Request(n=self.num_train_timesteps + 1))

    def _plan(self, request: Request) -> Plan:
        sigmas = self.grid.sigmas(request)
        gammas = self.churn.gammas(sigmas, request.n)
        raised = np.append(sigmas[:-1] * (1 + gammas), sigmas[-1:])
        stops = self.grid.levels(raised)
        steps = [self._step(stop, stop_next, sigma) for (stop, stop_next), sigma in zip(pairwise(stops), sigmas[1:].tolist(), strict=True)]
        draws = (*(gammas[1:] > 0).tolist(), False)
        return self._scaled_plan(stops, steps, draws, raised=float(raised[0] / sigmas[0]))

    def _step(self, level: Level, level_next: Level, sigma_next: float) -> Weights:
        """Return the step from a raised level to ``sigma_next``, and with fresh noise to the next raised level."""
        fresh = self.churn.s_noise * math.sqrt(level_next.sigma * level_next.sigma - sigma_next * sigma_next)
        kept = sigma_next / level.sigma
        return LinearStep(x=kept, x0=1 - kept, noise=fresh).fold_x0(*self.x0_weights(1.0, level.sigma), level)

    def _scaled_plan(self, stops: tuple[Level, ...], steps: list[Weights], draws: tuple[bool, ...], raised: float) -> Plan:
        sigmas: F64 = np.array([stop.sigma for stop in stops[:-1]])
        plan = plan_of(stops, steps, self.grid.init_scale(raised), draws=draws)
        return replace(plan, input_scale=input_scales(sigmas, self.grid.sigma_data, self.functions))

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        """Return (c_skip, c_out) with x0 = c_skip * x + c_out * output; alpha is 1 here."""
        del alpha
        return self.grid.x0_weights(sigma, velocity=self.prediction_type == "v_prediction")

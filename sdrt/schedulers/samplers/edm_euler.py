"""Euler's method in EDM's formulation (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without its correction)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.churn import ChurnedSampler
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.edm import EDM_KEYS, EDMSampler, input_scales
from sdrt.schedulers.one_step import one_call_plan
from sdrt.schedulers.weighted_sum import Weights, weighted_sum

__all__ = ["EDMEuler"]


@dataclass(frozen=True, kw_only=True)
class EDMEuler(EDMSampler, ChurnedSampler):
    """x' = x + (sigma' - sigma) * (x - x0) / sigma, and the noise of the next step's churn."""

    name: ClassVar[str] = "EDMEulerScheduler"
    keys: ClassVar[Mapping[str, Any]] = EDM_KEYS

    def whole_plan(self) -> Plan:
        """Lay out a run through every trained level: T + 1 of them, as diffusers counts."""
        return self._plan(Request(n=self.num_train_timesteps + 1))

    def _plan(self, request: Request) -> Plan:
        sigmas = self._levels(request)
        gammas = self._gammas(sigmas, request.n)
        raised = sigmas[:-1] * (1 + gammas)
        if self.compat == "diffusers":
            stops, steps, draws = sigmas, self._late_churn(sigmas, raised), gammas > 0
        else:
            stops = np.append(raised, sigmas[-1:])
            steps, draws = self._churned(sigmas, stops), np.append(gammas[1:] > 0, False)
        plan = one_call_plan(
            self._told(stops[:-1]),
            np.ones(len(stops)),
            stops,
            steps,
            draws=tuple(draws.tolist()),
            init_scale=self._first_scale(float(stops[0] / sigmas[0])),
        )
        return replace(plan, input_scale=input_scales(stops[:-1], self.sigma_data))

    def _final(self, last: float) -> float:
        """Return the level at which the run ends. For sigma_min, diffusers 0.42.1 repeats the last: a step of no length, wherever it is."""
        return last if self.compat == "diffusers" and self.final_sigma == "sigma_min" else super()._final(last)

    def _churned(self, sigmas: F64, stops: F64) -> tuple[Weights, ...]:
        """Return the steps from each raised level to the next one."""
        fresh = self.s_noise * np.sqrt(stops[1:] ** 2 - sigmas[1:] ** 2)
        return tuple(
            replace(self._step(now, then), noise=noise)
            for now, then, noise in zip(stops[:-1].tolist(), sigmas[1:].tolist(), fresh.tolist(), strict=True)
        )

    def _late_churn(self, sigmas: F64, raised: F64) -> tuple[Weights, ...]:
        """Add a step's noise after the network was called, as diffusers 0.42.1 does: it moves with the sample."""
        found = []
        for sigma, sigma_hat, then in zip(sigmas[:-1].tolist(), raised.tolist(), sigmas[1:].tolist(), strict=True):
            step = self._step(sigma_hat, then)
            found.append(replace(step, noise=step.sample * self.s_noise * math.sqrt(sigma_hat**2 - sigma**2)))
        return tuple(found)

    def _step(self, sigma: float, then: float) -> Weights:
        c_skip, c_out = self.x0_weights(1.0, sigma)
        share = then / sigma
        return Weights(sample=share + (1 - share) * c_skip, output=(1 - share) * c_out)

    def _advance(self, c: Weights, state: State, output: Float, noise: Float | None) -> State:
        return state.advance(weighted_sum(c, state.x, output, noise))

"""Heun's method on a rectified flow, with optional churn: an Euler step, then the whole step again along the mean of both ends' slopes.

    x_euler = x + (sigma' - sigma) * v_hat(x, sigma)
    x'      = x_euler + (sigma' - sigma) / 2 * (v_hat(x_euler, sigma') - v_hat(x, sigma))

Churn then raises x' to sigma_hat' along the flow, where signal and noise add up to 1: with k = (1 - sigma_hat') / (1 - sigma'),

    x_hat'  = k * x' + sqrt(sigma_hat'**2 - (k * sigma')**2) * s_noise * z
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.run import Level, Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group
from sdrt.schedulers.grids.flow import FlowGrid
from sdrt.schedulers.steps.churn import Churn
from sdrt.schedulers.steps.linear import LinearCall, Weights, linear_combination, linear_plan

__all__ = ["FlowHeun"]

# Shifts that follow the picture, stretching and other spacings, which diffusers gave to its Euler alone.
_OF_EULER = (
    "use_dynamic_shifting",
    "base_shift",
    "max_shift",
    "base_image_seq_len",
    "max_image_seq_len",
    "time_shift_type",
    "invert_sigmas",
    "shift_terminal",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
)


@dataclass(frozen=True, kw_only=True)
class FlowHeun(Sampler):
    """Two calls a step, and one for the last, which ends without noise. Churn raises a level to pure noise at most."""

    name: ClassVar[str] = "FlowMatchHeunDiscreteScheduler"
    calls_per_step: ClassVar[int] = 2
    step_options: ClassVar[tuple[str, ...]] = Churn.step_options

    prediction_type: Prediction = "flow_prediction"
    grid: FlowGrid = group(FlowGrid, without=_OF_EULER, fixed={"accepts": frozenset({"timesteps", "sigmas"})})
    churn: Churn = field(default_factory=Churn)

    def _plan(self, request: Request) -> Plan:
        return self._lay_out(self.grid.levels(request))

    def _whole_plan(self) -> Plan:
        """Lay out a run through every trained noise level."""
        return self._lay_out(self.grid.trained_levels())

    def _lay_out(self, stops: tuple[Level, ...]) -> Plan:
        raised = self._raise(stops)
        calls = [call for step in zip(raised, stops[1:], [*raised[1:], stops[-1]], strict=True) for call in self._step(*step)]
        return linear_plan(self.prediction_type, calls, stops[-1], 1.0)

    def _raise(self, stops: tuple[Level, ...]) -> tuple[Level, ...]:
        """Return the stops of the steps' beginnings with churn's noise on top."""
        sigmas: F64 = np.array([stop.sigma for stop in stops])
        raised = np.minimum(sigmas[:-1] * (1 + self.churn.gammas(sigmas, len(stops) - 1)), 1.0)
        timesteps = np.where(raised > sigmas[:-1], self.grid.network_timesteps(raised), [stop.timestep for stop in stops[:-1]])
        return tuple(Level.of(timestep, 1 - sigma, sigma) for timestep, sigma in zip(timesteps.tolist(), raised.tolist(), strict=True))

    def _step(self, level: Level, level_next: Level, raised: Level) -> Iterator[LinearCall]:
        """Return the calls of a step: to its end along the first slope; then half-way over to the second, and up to the next beginning."""
        down = level_next.sigma - level.sigma
        euler = Weights(x=1.0, output=down, ends=not level_next.sigma)
        yield LinearCall(at=level, step=euler, ends=euler.ends)
        if not euler.ends:
            lifts = raised.sigma > level_next.sigma
            kept = raised.alpha / level_next.alpha if lifts else 1.0
            fresh = self.churn.s_noise * math.sqrt(
                max(self.functions.square(raised.sigma) - self.functions.square(kept * level_next.sigma), 0.0)
            )
            yield LinearCall(
                at=level_next, step=Weights(x=kept, output=kept * down / 2, stages=(-kept * down / 2,), noise=fresh), draws=lifts
            )

    def _advance(self, c: Weights, state: State, output: Float, noise: Float | None) -> State:
        # diffusers' order of operations: the first slope is taken back last
        x = linear_combination((c.x, c.output, c.noise, *c.stages), (state.x, output, noise, *state.stage_outputs))
        return state.advance(x) if c.ends else state.advance(x, stage_outputs=(output,))

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        """Return (a, b) with x0 = a * x + b * output, at levels where alpha is 1 - sigma."""
        del alpha
        return self.grid.x0_weights(sigma)

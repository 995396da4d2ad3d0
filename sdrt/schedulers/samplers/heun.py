"""Heun's method on the probability flow (Karras et al. 2022, arXiv:2206.00364, algorithm 1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.bounds import NO_BOUND, X0Bound
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.prediction import Prediction, eps_weights, to_x0
from sdrt.schedulers.ratio_sampler import RATIO_KEYS
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.request import Request
from sdrt.schedulers.staged import StagedCall, StagedSampler, euler_call, scales, staged_plan
from sdrt.schedulers.state import State

__all__ = ["Heun", "heun_step"]


@dataclass(frozen=True, kw_only=True)
class Heun(StagedSampler):
    """An Euler step to the next stop, then the whole step again along the mean of both ends' slopes. The step to no noise is Euler's."""

    name: ClassVar[str] = "HeunDiscreteScheduler"
    keys: ClassVar[Mapping[str, Any]] = RATIO_KEYS | {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "clip_sample": False,
        "clip_sample_range": 1.0,
    }
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2", "exp")}
    calls_per_step: ClassVar[int] = 2

    bound: X0Bound = NO_BOUND

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = self._stops(request)
        levels = ratios.astype(np.float64).tolist()
        told = [*timesteps.tolist(), float(self._told(ratios[-1:].astype(np.float64))[0])]
        # A bounded x0 takes the output's place: see _advance.
        prediction: Prediction = "sample" if self.bound else self.prediction_type
        calls: list[StagedCall] = []
        for i in range(len(timesteps)):
            calls += heun_step(prediction, (told[i], told[i + 1]), levels[i], levels[i + 1])
        return staged_plan(calls, levels[-1], first_scale(self.timestep_spacing, scales(levels[0])[1]))

    def _advance(self, c: StagedCall, state: State, output: Float, noise: Float | None) -> State:
        if self.bound:
            output = self.bound(to_x0(self.prediction_type, state.x, output, *scales(c.ratio)))
        return super()._advance(c, state, output, noise)

    def _x0_bound(self) -> X0Bound:
        return self.bound

    def _config(self) -> dict[str, Any]:
        return super()._config() | self.bound.config()

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"bound": X0Bound.read(values)}


def heun_step(prediction: Prediction, told: tuple[float, float], now: float, then: float) -> tuple[StagedCall, ...]:
    """Return the calls of one step.

    Parameters
    ----------
    told : two floats
        The timesteps of both ends.
    now, then : float
        The ratios there.
    """
    first = euler_call(prediction, told[0], now, then, ends=then == 0)
    if then == 0:
        return (first,)
    alpha, alpha_next = scales(now)[0], scales(then)[0]
    half = alpha_next * (then - now) / 2
    start_x, start_output = eps_weights(prediction, *scales(now))
    end_x, end_output = eps_weights(prediction, *scales(then))
    second = StagedCall(
        timestep=told[1],
        ratio=then,
        x=half * end_x,
        output=half * end_output,
        anchor=alpha_next / alpha + half * start_x,
        stages=(half * start_output,),
    )
    return first, second

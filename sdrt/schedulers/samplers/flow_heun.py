"""Heun's method on a rectified flow: an Euler step, then half of the difference that the network sees at its end (order 2)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.churn import ChurnedSampler
from sdrt.schedulers.core.run import Plan, State
from sdrt.schedulers.flow import FLOW_KEYS, FlowSampler
from sdrt.schedulers.weighted_sum import Weights, weighted_sum

__all__ = ["FlowHeun", "FlowHeunCall"]


@dataclass(frozen=True, kw_only=True)
class FlowHeunCall:
    """The numbers of one call."""

    weights: Weights
    first: float | None = None  # weight of the step's first output, where this call completes the step with its second
    ends: bool = True  # whether the step is complete
    draws: bool = False


@dataclass(frozen=True, kw_only=True)
class FlowHeun(FlowSampler, ChurnedSampler):
    """Two calls a step, and one for the last, which ends without noise."""

    name: ClassVar[str] = "FlowMatchHeunDiscreteScheduler"
    keys: ClassVar[Mapping[str, Any]] = FLOW_KEYS
    takes: ClassVar[frozenset[str]] = frozenset({"timesteps", "sigmas"})
    calls_per_step: ClassVar[int] = 2

    def _of_stops(self, timesteps: F64, sigmas: F64) -> Plan:
        raised, calls = self._late_churn(sigmas) if self.compat == "diffusers" else self._churned(sigmas)
        levels = np.stack([raised, sigmas[1:]], axis=1).ravel()  # of the first call of each step, and the second
        told = np.where(raised > sigmas[:-1], self._told(raised), timesteps)
        return Plan(
            timesteps=np.stack([told, np.append(timesteps[1:], 0.0)], axis=1).ravel()[:-1],
            alphas=1 - levels,
            sigmas=levels,
            coefficients=tuple(calls),
            draws=tuple(call.draws for call in calls),
            starts=tuple(range(0, len(calls), 2)),
        )

    def _churned(self, sigmas: F64) -> tuple[F64, list[FlowHeunCall]]:
        """Return the level at which each step begins, and its calls; churn raises the level along the flow, to pure noise at most."""
        raised = np.minimum(sigmas[:-1] * (1 + self._gammas(sigmas, len(sigmas) - 1)), 1.0)
        calls: list[FlowHeunCall] = []
        for now, then, following in zip(raised.tolist(), sigmas[1:].tolist(), [*raised[1:].tolist(), 0.0], strict=True):
            calls += _step(now, then, following, self.s_noise)
        return raised, calls

    def _late_churn(self, sigmas: F64) -> tuple[F64, list[FlowHeunCall]]:
        """Add a step's noise after the network was called, as diffusers 0.42.1 does.

        It divides s_churn by the number of calls; adds noise without taking signal away, which leaves the flow; scales the slope down with
        the level; and draws noise for the second call too, where it cancels out.
        """
        gammas = self._gammas(sigmas, 2 * len(sigmas) - 3)
        calls: list[FlowHeunCall] = []
        for now, then, gamma in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), gammas.tolist(), strict=True):
            calls += _late_step(now, then, gamma, self.s_noise)
        return sigmas[:-1], calls

    def _advance(self, c: FlowHeunCall, state: State, output: Float, noise: Float | None) -> State:
        x = weighted_sum(c.weights, state.x, output, noise)
        if c.first is not None:
            np.add(x, state.stage_outputs[0] * c.first, out=x)
        return state.advance(x, stage_outputs=() if c.ends else (output,))


def _step(now: float, then: float, raised: float, s_noise: float) -> list[FlowHeunCall]:
    """Return the calls of a step: to its end along the first output, half-way over to the second's, and up to where the next one begins.

    Signal and noise add up to 1 along the flow: raising the noise scales the signal down.
    """
    down = then - now
    if not then:
        return [FlowHeunCall(weights=Weights(sample=1.0, output=down))]
    kept = (1 - raised) / (1 - then) if raised > then else 1.0
    fresh = s_noise * math.sqrt(max(raised**2 - (kept * then) ** 2, 0.0))
    return [
        FlowHeunCall(weights=Weights(sample=1.0, output=down), ends=False),
        FlowHeunCall(
            weights=Weights(sample=kept, output=kept * down / 2, noise=fresh),
            first=-kept * down / 2,
            draws=raised > then,
        ),
    ]


def _late_step(now: float, then: float, gamma: float, s_noise: float) -> list[FlowHeunCall]:
    """Return the calls of a step that raises its noise after the first of them."""
    raised = now * (1 + gamma)
    down, slope = then - raised, 1 / (1 + gamma)
    first = Weights(sample=1.0, output=down * slope, noise=s_noise * math.sqrt(raised**2 - now**2))
    draws = gamma > 0
    if not then:
        return [FlowHeunCall(weights=first, draws=draws)]
    second = FlowHeunCall(weights=Weights(sample=1.0, output=down / 2), first=-down / 2 * slope, draws=draws)
    return [FlowHeunCall(weights=first, ends=False, draws=draws), second]

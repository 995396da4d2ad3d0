"""Samplers that call the network more than once a step, Runge-Kutta methods in the wide sense.

Every call moves the sample to a weighted sum of the sample at which the step began, the sample now, the network's outputs during the step,
and fresh noise. The weights are worked out in the plan, so that a call is one sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import Prediction, eps_weights, x0_weights
from sdrt.schedulers.core.run import Plan, State
from sdrt.schedulers.grids.ratio import alpha_sigma
from sdrt.schedulers.ratio_sampler import RatioSampler
from sdrt.schedulers.weighted_sum import combined

__all__ = ["StagedCall", "StagedSampler", "euler_call", "exponential_call", "scales", "staged_plan"]


@dataclass(frozen=True, kw_only=True)
class StagedCall:
    """The numbers of one call."""

    timestep: float  # what the network is told
    ratio: float  # the noise-to-signal ratio there
    x: float  # weights of the sum: of the sample now, of the output,
    output: float
    anchor: float = 0.0  # of the sample at which the step began, where that is another,
    stages: tuple[float, ...] = ()  # of the step's outputs so far,
    noise: float = 0.0  # and of fresh noise
    draws: bool = False  # whether fresh noise is taken, be its weight 0
    ends: bool = True  # whether the step is complete
    interval: tuple[float, float] = (0.0, 0.0)  # for Brownian noise: the two ratios between which it is taken


class StagedSampler(RatioSampler):
    """A sampler that is fully described by its calls."""

    def _advance(self, c: StagedCall, state: State, output: Float, noise: Float | None) -> State:
        anchor = state.x if state.step_start is None else state.step_start
        terms = [(c.x, state.x), (c.anchor, anchor), *zip(c.stages, state.stage_outputs, strict=False), (c.output, output)]
        x = combined(terms if noise is None else [*terms, (c.noise, noise)])
        return state.advance(x) if c.ends else state.advance(x, stage_outputs=(*state.stage_outputs, output), step_start=anchor)


def euler_call(
    prediction: Prediction,
    timestep: float,
    now: float,
    then: float,
    *,
    down: float | None = None,
    up: float = 0.0,
    draws: bool = False,
    ends: bool = True,
) -> StagedCall:
    """Return the call that keeps x0 and eps to a ratio ``then``, of which only ``down`` is predicted noise and ``up`` is fresh."""
    alpha, direction = scales(then)[0], then if down is None else down
    x0_x, x0_output = x0_weights(prediction, *scales(now))
    eps_x, eps_output = eps_weights(prediction, *scales(now))
    return StagedCall(
        timestep=timestep,
        ratio=now,
        x=alpha * (x0_x + direction * eps_x),
        output=alpha * (x0_output + direction * eps_output),
        noise=alpha * up,
        draws=draws,
        ends=ends,
    )


def exponential_call(
    prediction: Prediction,
    timestep: float,
    at: float,
    now: float,
    then: float,
    *,
    down: float,
    up: float = 0.0,
    draws: bool = False,
    ends: bool = True,
    interval: tuple[float, float] = (0.0, 0.0),
) -> StagedCall:
    """Return a call at ratio ``at`` that goes from the step's beginning at ``now`` to ``down``, part of ``then``, with its x0 held.

    The first call of a step stands at its beginning; the last, which ends it, looks back to there.

    x' = alpha' (down / now * x / alpha + (1 - down / now) * x0 + up * noise): exact in the linear part of the flow, which is what makes the
    method one of DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095, equation 14).
    """
    sigma, alpha_next = scales(now)[1], scales(then)[0]
    x0_x, x0_output = x0_weights(prediction, *scales(at))
    kept, share = alpha_next * down / sigma, alpha_next * (1 - down / now)
    return StagedCall(
        timestep=timestep,
        ratio=at,
        x=share * x0_x + (0.0 if ends else kept),
        output=share * x0_output,
        anchor=kept if ends else 0.0,
        noise=alpha_next * up,
        draws=draws,
        ends=ends,
        interval=interval,
    )


def scales(ratio: float) -> tuple[float, float]:
    """Return (alpha, sigma) of a ratio."""
    alpha, sigma = alpha_sigma(np.float64(ratio))  # type: ignore[arg-type]
    return float(alpha), float(sigma)


def staged_plan(calls: Sequence[StagedCall], final_ratio: float, init_scale: float, *, span: tuple[float, float] | None = None) -> Plan:
    """Return the plan of these calls.

    Parameters
    ----------
    final_ratio : float
        Where the run ends.
    span : two floats, or None
        The ratios between which the Brownian path runs, if noise is taken from one.
    """
    alphas, sigmas = alpha_sigma(np.array([*(call.ratio for call in calls), final_ratio], np.float64))
    ends = [i + 1 for i, call in enumerate(calls) if call.ends]
    return Plan(
        timesteps=np.array([call.timestep for call in calls]),
        alphas=alphas,
        sigmas=sigmas,
        coefficients=tuple(calls),
        draws=tuple(call.draws for call in calls),
        starts=(0, *ends[:-1]),
        init_scale=init_scale,
        intervals=() if span is None else tuple(call.interval for call in calls),
        span=span,
    )

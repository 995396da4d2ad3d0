"""Steps that are linear in the sample and in the network's output: those of most samplers.

A sampler states its step as its paper does, in the predicted clean sample and the predicted noise. :meth:`LinearStep.fold` converts it to
weights of the network's output, once for a plan, and :func:`linear_combination` applies the weights to arrays.

The records are named tuples, which a plan of many calls builds in a third of the time of frozen dataclasses.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import Prediction, eps_weights, x0_weights
from sdrt.schedulers.core.run import Level, Plan

__all__ = ["LinearCall", "LinearStep", "Weights", "linear_combination", "linear_plan", "plan_of"]


class LinearStep(NamedTuple):
    """x' = x * sample + scale * (x0 * x0_hat + eps * eps_hat) + noise * z, as the algorithm states it.

    If the step began with another call, ``start`` * (the sample there) + ``start_eps`` * (the noise predicted there) are added.
    """

    x0: float = 0.0  # weight of the predicted clean sample
    eps: float = 0.0  # weight of the predicted noise
    noise: float = 0.0  # weight of fresh noise
    x: float = 0.0  # weight of the sample itself (posterior means, exponential integrators)
    scale: float = 1.0  # alpha' of samplers that work on x / alpha; outside the sum, since the last bits depend on it
    start: float = 0.0
    start_eps: float = 0.0

    def fold(self, prediction: Prediction, call: "LinearCall") -> "Weights":
        """Substitute x0_hat = a * x + b * output and eps_hat = c * x + d * output, which leaves weights of the sample and the output."""
        a, b = x0_weights(prediction, call.at.alpha, call.at.sigma)
        c, d = eps_weights(prediction, call.at.alpha, call.at.sigma)
        weights = Weights(
            x=self.scale * (self.x0 * a + self.eps * c) + self.x,
            output=self.scale * (self.x0 * b + self.eps * d),
            noise=self.noise,
            start=self.start,
            ends=call.ends,
            alpha=call.at.alpha,
            sigma=call.at.sigma,
            step=self,
        )
        if call.start is None:
            return weights
        e, f = eps_weights(prediction, call.start.alpha, call.start.sigma)
        return weights._replace(start=self.start + self.start_eps * e, stages=(self.start_eps * f,))

    def fold_x0(self, a: float, b: float, at: Level) -> "Weights":
        """Substitute x0_hat = a * x + b * output at a level, for a step without eps_hat."""
        return Weights(x=self.x0 * a + self.x, output=self.x0 * b, noise=self.noise, alpha=at.alpha, sigma=at.sigma, step=self)


class Weights(NamedTuple):
    """The numbers of one call: x' = x * sample + start * step_start + stages * stage_outputs + output * output + noise * z."""

    x: float
    output: float
    noise: float = 0.0
    start: float = 0.0  # of the sample at which the step began, if that is another one
    stages: tuple[float, ...] = ()  # of the step's outputs so far
    ends: bool = True  # whether the step is complete
    alpha: float = 1.0  # the scales at the call: for samplers that bound x0 and so cannot use the folded weights
    sigma: float = 0.0
    step: LinearStep = LinearStep()

    def fold(self, prediction: Prediction, call: "LinearCall") -> "Weights":  # noqa: ARG002
        """Return itself: a step that its sampler folded by hand."""
        return self


class LinearCall(NamedTuple):
    """One network call: its noise level, and the step that follows from its output."""

    at: Level
    step: LinearStep | Weights
    start: Level | None = None  # where the step began, if with another call
    draws: bool = False  # whether fresh noise is drawn, even if its weight is 0
    ends: bool = True  # whether the step is complete
    interval: tuple[float, float] = (0.0, 0.0)  # for Brownian noise: the two ratios of the increment


def linear_plan(
    prediction: Prediction, calls: Sequence[LinearCall], end: Level, init_scale: float, *, span: tuple[float, float] | None = None
) -> Plan:
    """Return the plan of these calls.

    Parameters
    ----------
    end : Level
        The level at which the run ends.
    span : two floats, or None
        The ratios at the ends of the Brownian path, if the noise comes from one.
    """
    ends = [i + 1 for i, call in enumerate(calls) if call.ends]
    return Plan(
        timesteps=np.array([call.at.timestep for call in calls]),
        alphas=np.array([*(call.at.alpha for call in calls), end.alpha]),
        sigmas=np.array([*(call.at.sigma for call in calls), end.sigma]),
        coefficients=tuple(call.step.fold(prediction, call) for call in calls),
        draws=tuple(call.draws for call in calls),
        starts=(0, *ends[:-1]),
        init_scale=init_scale,
        intervals=() if span is None else tuple(call.interval for call in calls),
        span=span,
    )


def plan_of(stops: Sequence[Level], calls: Sequence[Any], init_scale: float = 1.0, *, draws: tuple[bool, ...] = ()) -> Plan:
    """Return the plan of a sampler that makes one call a step, with numbers of its own for each.

    Parameters
    ----------
    stops : n + 1 levels
    calls : n of the sampler's own records
    draws : n bools
        Whether each call draws fresh noise; by default none does.
    """
    n = len(calls)
    return Plan(
        timesteps=np.array([stop.timestep for stop in stops[:n]]),
        alphas=np.array([stop.alpha for stop in stops]),
        sigmas=np.array([stop.sigma for stop in stops]),
        coefficients=tuple(calls),
        draws=draws or (False,) * n,
        starts=tuple(range(n)),
        init_scale=init_scale,
    )


def linear_combination(weights: Sequence[float], arrays: Sequence[Float | None]) -> Float:
    """Return the sum of weight times array, from left to right, in a fresh array; terms of weight 0 or of no array cost nothing.

    Skipping them may change the sign of an exact zero, and nothing else. The first array must not be None.
    """
    total = product = None
    for weight, array in zip(weights, arrays, strict=True):
        if weight and array is not None:
            if total is None:
                total = array * weight
            else:
                product = np.multiply(array, weight, out=product)
                np.add(total, product, out=total)
    return np.zeros_like(arrays[0]) if total is None else total

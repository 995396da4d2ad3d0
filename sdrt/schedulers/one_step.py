"""Samplers whose step looks at one network output only: x' = alpha' * x0 + direction * eps + noise.

x0 and eps are linear in x and the output, so that a step is one weighted sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.schedulers.core.prediction import Prediction, eps_weights, to_eps, to_x0, x0_weights
from sdrt.schedulers.core.run import Plan, State
from sdrt.schedulers.scheduled import ScheduledSampler
from sdrt.schedulers.steps.bounds import NO_BOUND, X0Bound

__all__ = ["BoundedOneStepSampler", "OneStepSampler", "Transfer", "one_call_plan", "transfers"]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """The numbers of one step."""

    alpha: float  # scales where the step starts
    sigma: float
    alpha_next: float  # signal scale where it ends
    direction: float  # how much of the predicted noise is there
    noise: float  # how much fresh noise
    x: float  # the sum that follows: x' = x * sample + output * network output + noise * fresh
    output: float


def transfers(
    prediction: Prediction, alphas: Float, sigmas: Float, alphas_next: Float, directions: Float, noises: Float
) -> tuple[Transfer, ...]:
    """Return the numbers of every step.

    Parameters
    ----------
    alphas, sigmas : f[n]
        Scales where each step starts.
    alphas_next : f[n]
        The signal scale where it ends.
    directions, noises : f[n]
        How much predicted and how much fresh noise is there; their squares add up to sigma squared.
    """
    columns = (alphas, sigmas, alphas_next, directions, noises)
    return tuple(_transfer(prediction, *numbers) for numbers in zip(*(column.tolist() for column in columns), strict=True))


def _transfer(prediction: Prediction, alpha: float, sigma: float, alpha_next: float, direction: float, noise: float) -> Transfer:
    x0_x, x0_output = x0_weights(prediction, alpha, sigma)
    eps_x, eps_output = eps_weights(prediction, alpha, sigma)
    return Transfer(
        alpha=alpha,
        sigma=sigma,
        alpha_next=alpha_next,
        direction=direction,
        noise=noise,
        x=alpha_next * x0_x + direction * eps_x,
        output=alpha_next * x0_output + direction * eps_output,
    )


@dataclass(frozen=True, kw_only=True)
class OneStepSampler(ScheduledSampler):
    """A sampler that is fully described by its transfers."""

    def _advance(self, c: Transfer, state: State, output: Float, noise: Float | None) -> State:
        x: Float = state.x * c.x
        term: Float = output * c.output
        np.add(x, term, out=x)
        if noise is not None:
            np.multiply(noise, c.noise, out=term)
            np.add(x, term, out=x)
        return state.advance(x)


@dataclass(frozen=True, kw_only=True)
class BoundedOneStepSampler(OneStepSampler):
    """The same where the predicted x0 may be bounded; the predicted noise stays what the network said."""

    bound: X0Bound = NO_BOUND

    def _advance(self, c: Transfer, state: State, output: Float, noise: Float | None) -> State:
        bound = self._x0_bound()
        if not bound:
            return super()._advance(c, state, output, noise)
        x0 = bound(to_x0(self.prediction_type, state.x, output, c.alpha, c.sigma))
        x: Float = x0 * c.alpha_next
        np.add(x, self._eps(c, state.x, output, x0) * c.direction, out=x)
        if noise is not None:
            np.add(x, noise * c.noise, out=x)
        return state.advance(x)

    def _eps(self, c: Transfer, x: Float, output: Float, x0: Float) -> Float:  # noqa: ARG002
        """Return the predicted noise that goes with a bounded x0."""
        return to_eps(self.prediction_type, x, output, c.alpha, c.sigma)

    def _x0_bound(self) -> X0Bound:
        return self.bound

    def _config(self) -> dict[str, Any]:
        return super()._config() | self.bound.config()

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"bound": X0Bound.read(values)}


def one_call_plan(
    timesteps: Array,
    alphas: Float,
    sigmas: Float,
    steps: tuple[Any, ...],
    *,
    draws: bool | tuple[bool, ...] = False,
    init_scale: float = 1.0,
) -> Plan:
    """Return the plan of a sampler that makes one call a step; ``draws`` says for each call whether it draws, or for all."""
    n = len(steps)
    return Plan(
        timesteps=timesteps,
        alphas=alphas,
        sigmas=sigmas,
        coefficients=steps,
        draws=draws if isinstance(draws, tuple) else (draws,) * n,
        starts=tuple(range(n)),
        init_scale=init_scale,
    )

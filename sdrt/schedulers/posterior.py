"""Sampling from the posterior of a diffusion step, given the predicted x0 (Ho et al. 2020, equations 6 and 7).

The variance is fixed at one of its two bounds, or the network says it: in a second half of its channels, as a logarithm
(Nichol and Dhariwal 2021, arXiv:2102.09672, equation 15; openai/improved-diffusion, ``gaussian_diffusion.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.schedulers.blend import Blend, blended, blends
from sdrt.schedulers.core.prediction import check_alpha
from sdrt.schedulers.core.run import Plan, State
from sdrt.schedulers.one_step import one_call_plan
from sdrt.schedulers.scheduled import ScheduledSampler
from sdrt.schedulers.steps.bounds import NO_BOUND, X0Bound, divided_by

__all__ = ["PosteriorSampler", "PosteriorStep", "VarianceType"]

VarianceType = Literal["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"]

# diffusers' floor of the lower bound, which is 0 where a step ends without noise and whose logarithm is taken.
_LEAST_VARIANCE = 1e-20


@dataclass(frozen=True, kw_only=True)
class PosteriorStep:
    """The numbers of one step."""

    mean: Blend
    deviation: float  # of fresh noise, where it is fixed
    log_center: float  # where it is learned: its logarithm is log_center + log_slope * output
    log_slope: float


@dataclass(frozen=True, kw_only=True)
class PosteriorSampler(ScheduledSampler):
    """What DDPM and unCLIP share.

    Noise is drawn in every step but the last, which ends without noise. diffusers 0.42.1 draws wherever the timestep is above 0: so that a
    run which ends above it keeps a variance of 1e-20 there, under ``fixed_large`` all of beta, and if it is learned some of that.
    """

    variance_type: VarianceType = "fixed_small"
    bound: X0Bound = NO_BOUND

    @property
    def doubled_output(self) -> bool:
        """Whether the network says the variance."""
        return self.variance_type in ("learned", "learned_range")

    def _posterior_plan(self, timesteps: Array, now: Float, then: Float, betas: Float) -> Plan:
        """Lay out a run; alpha_bar where each step starts and ends, and beta between them, are f[calls] of the numerics' own type."""
        alphas, sigmas = divided_by(np.sqrt(now), self.bound, self.compat), np.sqrt(1 - now)
        check_alpha(self.prediction_type, float(alphas.min()))
        means = blends(self.prediction_type, alphas, sigmas, np.sqrt(then) * betas / (1 - now), np.sqrt(1 - betas) * (1 - then) / (1 - now))
        small = np.maximum((1 - then) / (1 - now) * betas, now.dtype.type(_LEAST_VARIANCE))
        deviations = np.sqrt(betas if self.variance_type in ("fixed_large", "fixed_large_log") else small)
        centers, slopes = self._log_deviation(np.log(small), np.log(np.maximum(betas, small)))
        columns = (column.tolist() for column in (deviations, centers, slopes))
        steps = tuple(
            PosteriorStep(mean=mean, deviation=deviation, log_center=center, log_slope=slope)
            for mean, deviation, center, slope in zip(means, *columns, strict=True)
        )
        end = then[-1:]
        return one_call_plan(
            timesteps,
            np.append(alphas, np.sqrt(end)).astype(np.float64),
            np.append(sigmas, np.sqrt(1 - end)).astype(np.float64),
            steps,
            draws=self._draws(timesteps),
        )

    def _draws(self, timesteps: Array) -> tuple[bool, ...]:
        """Say for each call whether it draws."""
        if self.compat == "diffusers":
            return tuple((timesteps > 0).tolist())
        return (True,) * (len(timesteps) - 1) + (False,)

    def _log_deviation(self, low: Float, high: Float) -> tuple[Float, Float]:
        """Return (a, b) with log deviation = a + b * output; between the logarithms of both bounds, an output in [-1, 1] says where."""
        if self.variance_type == "learned_range":
            return (low + high) / 4, (high - low) / 4
        return np.zeros_like(low), np.full_like(low, 0.5)

    def _advance(self, c: PosteriorStep, state: State, output: Float, noise: Float | None) -> State:
        channels = state.x.shape[1] if self.doubled_output else None
        x = blended(c.mean, self.prediction_type, self.bound, state.x, output[:, :channels] if channels else output)
        if noise is not None:
            fresh: Float = noise * (self._learned(c, output[:, channels:]) if channels else c.deviation)
            np.add(x, fresh, out=x)
        return state.advance(x)

    def _learned(self, c: PosteriorStep, output: Float) -> Float:
        """Return the deviation that the network says.

        Of ``learned``, diffusers 0.42.1 takes the output to be the variance itself, and gives NaN where it is negative.
        """
        if self.compat == "diffusers" and self.variance_type == "learned":
            return np.sqrt(np.maximum(output, 0))
        deviation: Float = output * c.log_slope
        np.add(deviation, c.log_center, out=deviation)
        return np.exp(deviation, out=deviation)

    def _x0_bound(self) -> X0Bound:
        return self.bound

    def _config(self) -> dict[str, Any]:
        return super()._config() | self.bound.config() | {"variance_type": self.variance_type}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"bound": X0Bound.read(values), "variance_type": values["variance_type"]}

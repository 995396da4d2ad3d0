"""Euler's method on the probability flow, with optional churn (Karras et al. 2022, arXiv:2206.00364, algorithm 2)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.ancestral import check_noise
from sdrt.schedulers.core.numerics import Real, real_type
from sdrt.schedulers.core.prediction import Prediction, x0_weights
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.grids.ratio import alpha_sigma, training_ratios, with_final_ratio
from sdrt.schedulers.grids.sigmas import FinalSigma, exponential_ratios
from sdrt.schedulers.one_step import OneStepSampler, Transfer, one_call_plan, transfers
from sdrt.schedulers.ratio_sampler import RATIO_KEYS, RatioSampler
from sdrt.schedulers.ratio_stops import first_scale

__all__ = ["Euler"]

_MOST_CHURN = math.sqrt(2) - 1  # table 5 of the paper: a step adds at most as much noise as there is


@dataclass(frozen=True, kw_only=True)
class Euler(RatioSampler, OneStepSampler):
    """x0 and the noise direction, as the network sees them, are kept to the next stop: in (alpha, sigma) terms this is DDIM's step.

    With churn, noise is added at a stop before the network is called there, so that each call stands at the raised level: a step ends
    with the noise of the next one, and a run begins at the first raised level. The options move the stops, so they are said where a run
    is laid out.
    """

    name: ClassVar[str] = "EulerDiscreteScheduler"
    keys: ClassVar[Mapping[str, Any]] = RATIO_KEYS | {
        "final_sigmas_type": "zero",
        "interpolation_type": "linear",
        "sigma_min": None,
        "sigma_max": None,
        "timestep_type": "discrete",
        "rescale_betas_zero_snr": False,
    }
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "prediction_type": ("epsilon", "v_prediction", "sample", "original_sample"),
        "final_sigmas_type": ("zero", "sigma_min"),
        "interpolation_type": ("linear", "log_linear"),
        "timestep_type": ("discrete", "continuous"),
    }
    step_options: ClassVar[tuple[str, ...]] = ("s_churn", "s_tmin", "s_tmax", "s_noise")

    final_sigma: FinalSigma = "zero"
    interpolation_type: Literal["linear", "log_linear"] = "linear"  # see :meth:`_log_linear`
    timestep_type: Literal["discrete", "continuous"] = "discrete"  # continuous: networks of velocities are told log(ratio) / 4 (EDM, SVD)
    s_churn: float = 0.0  # how much noise a whole run adds, spread over its steps
    s_tmin: float = 0.0  # the ratios between which it does
    s_tmax: float = math.inf
    s_noise: float = 1.0  # deviation of that noise

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(s_churn=self.s_churn, s_noise=self.s_noise)

    def _config(self) -> dict[str, Any]:
        return super()._config() | {
            "final_sigmas_type": self.final_sigma,
            "interpolation_type": self.interpolation_type,
            "timestep_type": self.timestep_type,
        }

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        same = {key: values[key] for key in ("interpolation_type", "timestep_type")}
        prediction = "sample" if values["prediction_type"] == "original_sample" else values["prediction_type"]  # an old spelling
        return super()._read(values) | same | {"final_sigma": values["final_sigmas_type"], "prediction_type": prediction}

    def _plan(self, request: Request) -> Plan:
        logarithmic = self.interpolation_type == "log_linear" and request.sigmas is None
        timesteps, ratios = self._log_linear(request) if logarithmic else self._stops(request, self.final_sigma)
        raised = ratios[:-1] * (1 + self._churn(ratios)).astype(ratios.dtype)
        late = self.compat == "diffusers"
        stops = ratios if late else np.append(raised, ratios[-1:])
        timesteps = self._moved_timesteps(timesteps, ratios, stops)
        n = len(timesteps)
        wide, kept = stops[: n + 1].astype(np.float64), ratios[: n + 1].astype(np.float64)
        alphas, sigmas = alpha_sigma(wide)
        if late and self.s_churn:
            steps = tuple(self._late_churn(ratios[i], raised[i], ratios[i + 1]) for i in range(n))
            draws = raised[:n] > ratios[:n]
        else:
            fresh = self.s_noise * np.sqrt(wide[1:] ** 2 - kept[1:] ** 2)
            steps = transfers(self.prediction_type, alphas[:-1], sigmas[:-1], alphas[1:], alphas[1:] * kept[1:], alphas[1:] * fresh)
            draws = wide[1:] > kept[1:]
        return one_call_plan(
            timesteps, alphas, sigmas, steps, draws=tuple(draws.tolist()), init_scale=first_scale(self.timestep_spacing, float(sigmas[0]))
        )

    def _churn(self, ratios: Float) -> F64:
        """Return by which share noise grows at each stop but the last: gamma in the paper."""
        within = (self.s_tmin <= ratios[:-1]) & (ratios[:-1] <= self.s_tmax)
        return np.where(within, min(self.s_churn / (len(ratios) - 1), _MOST_CHURN), 0.0)

    def _moved_timesteps(self, timesteps: F64, ratios: Float, stops: Float) -> F64:
        """Return what the network is told where the calls are made."""
        if self.timestep_type == "continuous" and self.prediction_type == "v_prediction":
            return (0.25 * np.log(stops[:-1].astype(np.float64)).astype(stops.dtype)).astype(np.float64)
        moved = (stops > ratios)[: len(timesteps)]
        return np.where(moved, self._told(stops[: len(timesteps)].astype(np.float64)), timesteps)

    def _log_linear(self, request: Request) -> tuple[F64, Float]:
        """Spread the ratios evenly in their logarithm over all trained ones, and tell the network the timesteps that belong to them.

        diffusers 0.42.1 spreads a ratio more than there are steps, so that a run ends at the smallest and never reaches the final one, and
        tells the network the timesteps of ``timestep_spacing``, where training had other ratios.
        """
        if request.timesteps is not None and self.compat != "diffusers":
            return self._stops(request, self.final_sigma)
        real = real_type(self.numerics)
        training = training_ratios(self.alpha_bar(), real)
        high, low = float(training[-1]), float(training[0])
        if self.sigma_spacing.kind != "interpolated":
            ratios = self.sigma_spacing.spread(high, low, request.n)
        else:
            ratios = exponential_ratios(high, low, request.n + (self.compat == "diffusers"))
        own = self.compat == "diffusers" and self.sigma_spacing.kind == "interpolated"
        timesteps = self._timesteps(request).astype(real).astype(np.float64) if own else self._told(ratios)
        return timesteps, with_final_ratio(ratios, training, self.final_sigma)

    def _late_churn(self, now: Real, raised: Real, then: Real) -> Transfer:
        """Add a step's noise after the network was called, as diffusers 0.42.1 does.

        The output then belongs to a sample of less noise than the one it moves, and takes none of the new noise away: for Gaussian data
        of deviation 0.7, 20 Karras steps with s_churn 10 end with a variance 44 % too large, where with noise before the call it is 29 %
        too small, as Euler's own steps make it.
        """
        return _late_step(self.prediction_type, now, raised, then, self.s_noise)


def _late_step(prediction: Prediction, now: Real, raised: Real, then: Real, s_noise: float) -> Transfer:
    """Return the numbers of a step that raises its noise after the call, in the ratios' own type and diffusers' order."""
    fresh = float(np.sqrt(raised * raised - now * now)) * s_noise
    (alpha, sigma), (alpha_next, sigma_next) = (map(float, alpha_sigma(np.float64(ratio))) for ratio in (now, then))  # type: ignore[arg-type]
    a, b = x0_weights(prediction, alpha, sigma)
    # Of x / alpha and of the output, in x0; a noise prediction is taken to speak of the raised level.
    of_x, of_output = (1.0, -float(raised)) if prediction == "epsilon" else (a * alpha, b)
    growth = float(then) / float(raised) - 1
    kept = alpha_next * (1 + growth * (1 - of_x))
    return Transfer(
        alpha=alpha,
        sigma=sigma,
        alpha_next=alpha_next,
        direction=sigma_next,
        noise=kept * fresh,
        x=kept / alpha,
        output=-alpha_next * growth * of_output,
    )

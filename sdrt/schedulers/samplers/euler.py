"""Euler's method on the probability flow (Karras et al. 2022, arXiv:2206.00364, algorithm 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sdrt.schedulers.one_step import OneStepSampler, one_call_plan, transfers
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.ratio_stops import first_scale, ratio_stops
from sdrt.schedulers.request import Request
from sdrt.schedulers.scheduled import SCHEDULE_KEYS, TERMINAL
from sdrt.schedulers.sigmas import SIGMA_KEYS, FinalSigma, SigmaSpacing, alpha_sigma
from sdrt.schedulers.spacing import Spacing

__all__ = ["Euler"]


@dataclass(frozen=True, kw_only=True)
class Euler(OneStepSampler):
    """x0 and the noise direction, as the network sees them, are kept to the next stop: in (alpha, sigma) terms this is DDIM's step."""

    name: ClassVar[str] = "EulerDiscreteScheduler"
    keys: ClassVar[Mapping[str, Any]] = (
        SCHEDULE_KEYS
        | SIGMA_KEYS
        | {
            "final_sigmas_type": "zero",
            "interpolation_type": "linear",
            "sigma_min": None,
            "sigma_max": None,
            "timestep_spacing": "linspace",
            "timestep_type": "discrete",
            "rescale_betas_zero_snr": False,
        }
    )
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "final_sigmas_type": ("zero", "sigma_min"),
        "interpolation_type": ("linear",),
        "timestep_type": ("discrete",),
    }
    exploding: ClassVar[bool] = True
    terminal_alpha_bar: ClassVar[float] = TERMINAL
    takes: ClassVar[frozenset[str]] = frozenset({"timesteps", "sigmas"})

    timestep_spacing: Spacing = "linspace"
    sigma_spacing: SigmaSpacing = field(default_factory=SigmaSpacing)
    final_sigma: FinalSigma = "zero"

    def _config(self) -> dict[str, Any]:
        return super()._config() | self.sigma_spacing.config() | {"final_sigmas_type": self.final_sigma}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"sigma_spacing": SigmaSpacing.read(values), "final_sigma": values["final_sigmas_type"]}

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = ratio_stops(self, request, self.sigma_spacing, self.final_sigma)
        alphas, sigmas = alpha_sigma(ratios.astype(np.float64))
        steps = transfers(self.prediction_type, alphas[:-1], sigmas[:-1], alphas[1:], sigmas[1:], np.zeros(len(timesteps)))
        return one_call_plan(timesteps, alphas, sigmas, steps, init_scale=first_scale(self.timestep_spacing, sigmas))

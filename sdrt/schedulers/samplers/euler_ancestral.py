"""Ancestral sampling with Euler steps (K. Crowson's k-diffusion, ``sample_euler_ancestral``)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.schedulers.ancestral import ancestral_split, check_noise
from sdrt.schedulers.one_step import OneStepSampler, one_call_plan, transfers
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.ratio_sampler import RatioSampler
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.request import Request
from sdrt.schedulers.scheduled import SCHEDULE_KEYS
from sdrt.schedulers.sigmas import SigmaSpacing, alpha_sigma

__all__ = ["EulerAncestral"]


@dataclass(frozen=True, kw_only=True)
class EulerAncestral(RatioSampler, OneStepSampler):
    """Each step goes further down than its stop, and fresh noise brings it back up.

    Noise is drawn at every step, the last included, where its weight is 0: the stream's position is part of the contract.
    """

    name: ClassVar[str] = "EulerAncestralDiscreteScheduler"
    # sigma_spacing is sdrt's own key: diffusers' class has no flags of sigmas, and ignores them in another class's configuration.
    keys: ClassVar[Mapping[str, Any]] = SCHEDULE_KEYS | {
        "timestep_spacing": "linspace",
        "rescale_betas_zero_snr": False,
        "sigma_spacing": None,
    }
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "prediction_type": ("epsilon", "v_prediction"),
        "sigma_spacing": (None, "karras", "exponential", "beta", "ays", "ays sdxl"),
    }
    step_options: ClassVar[tuple[str, ...]] = ("eta", "s_noise")

    eta: float = 1.0  # how much of a step's variance is fresh: 0 makes Euler of it
    s_noise: float = 1.0  # deviation of that noise

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(eta=self.eta, s_noise=self.s_noise)

    def _config(self) -> dict[str, Any]:
        return super()._config() | self.sigma_spacing.named_config()

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"sigma_spacing": SigmaSpacing.named(values["sigma_spacing"])}

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = self._stops(request)
        wide = ratios.astype(np.float64)
        alphas, sigmas = alpha_sigma(wide)
        down, up = ancestral_split(wide[:-1], wide[1:], self.eta)
        then = alphas[1:]
        steps = transfers(self.prediction_type, alphas[:-1], sigmas[:-1], then, then * down, then * up * self.s_noise)
        return one_call_plan(timesteps, alphas, sigmas, steps, draws=True, init_scale=first_scale(self.timestep_spacing, float(sigmas[0])))

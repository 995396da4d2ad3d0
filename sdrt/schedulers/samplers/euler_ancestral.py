"""Ancestral sampling with Euler steps (K. Crowson's k-diffusion, ``sample_euler_ancestral``)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.schedulers.one_step import OneStepSampler, one_call_plan, transfers
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.ratio_stops import first_scale, ratio_stops
from sdrt.schedulers.request import Request
from sdrt.schedulers.scheduled import SCHEDULE_KEYS, TERMINAL
from sdrt.schedulers.sigmas import SigmaSpacing, alpha_sigma
from sdrt.schedulers.spacing import Spacing

__all__ = ["EulerAncestral"]


@dataclass(frozen=True, kw_only=True)
class EulerAncestral(OneStepSampler):
    """Each step goes further down than its stop, and fresh noise brings it back up.

    Noise is drawn at every step, the last included, where its weight is 0: the stream's position is part of the contract.
    """

    name: ClassVar[str] = "EulerAncestralDiscreteScheduler"
    keys: ClassVar[Mapping[str, Any]] = SCHEDULE_KEYS | {"timestep_spacing": "linspace", "rescale_betas_zero_snr": False}
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"prediction_type": ("epsilon", "v_prediction")}
    exploding: ClassVar[bool] = True
    terminal_alpha_bar: ClassVar[float] = TERMINAL
    takes: ClassVar[frozenset[str]] = frozenset({"timesteps", "sigmas"})

    timestep_spacing: Spacing = "linspace"

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = ratio_stops(self, request, SigmaSpacing(), "zero")
        wide = ratios.astype(np.float64)
        alphas, sigmas = alpha_sigma(wide)
        now, then = wide[:-1], wide[1:]
        up = np.sqrt(then**2 * (now**2 - then**2) / now**2)
        down = np.sqrt(then**2 - up**2)
        steps = transfers(self.prediction_type, alphas[:-1], sigmas[:-1], alphas[1:], alphas[1:] * down, alphas[1:] * up)
        return one_call_plan(timesteps, alphas, sigmas, steps, draws=True, init_scale=first_scale(self.timestep_spacing, sigmas))

"""Ancestral sampling with Euler steps (K. Crowson's k-diffusion, ``sample_euler_ancestral``)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.schedulers.euler import first_scale
from sdrt.schedulers.noise_schedule import real_type
from sdrt.schedulers.one_step import OneStepSampler, one_call_plan, transfers
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.sigmas import SigmaSpacing, alpha_sigma, ratio_stops
from sdrt.schedulers.spacing import Spacing, place

__all__ = ["EulerAncestral"]


@dataclass(frozen=True, kw_only=True)
class EulerAncestral(OneStepSampler):
    """Each step goes further down than its stop, and fresh noise brings it back up.

    Noise is drawn at every step, the last included, where its weight is 0: the stream's position is part of the contract.
    """

    name: ClassVar[str] = "EulerAncestralDiscreteScheduler"

    timestep_spacing: Spacing = "linspace"

    def _own_config(self) -> dict[str, Any]:
        return {"rescale_betas_zero_snr": self.schedule.rescale_betas_zero_snr}

    def _plan(self, n: int) -> Plan:
        spaced = place(self.timestep_spacing, self.schedule.num_train_timesteps, n, self.steps_offset)
        real = real_type(self.numerics)
        timesteps, ratios = ratio_stops(self.schedule.alpha_bar(self.numerics), spaced, SigmaSpacing(), "zero", real)
        wide = ratios.astype(np.float64)
        alphas, sigmas = alpha_sigma(wide)
        now, then = wide[:-1], wide[1:]
        up = np.sqrt(then**2 * (now**2 - then**2) / now**2)
        down = np.sqrt(then**2 - up**2)
        steps = transfers(self.prediction_type, alphas, sigmas, alphas[1:] * down, alphas[1:] * up)
        return one_call_plan(timesteps, alphas, sigmas, steps, draws=True, init_scale=first_scale(self.timestep_spacing, sigmas))

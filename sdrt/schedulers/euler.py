"""Euler's method on the probability flow (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without churn)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.noise_schedule import real_type
from sdrt.schedulers.one_step import OneStepSampler, one_call_plan, transfers
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.sigmas import FinalSigma, SigmaSpacing, alpha_sigma, ratio_stops
from sdrt.schedulers.spacing import Spacing, place

__all__ = ["Euler", "first_scale"]


@dataclass(frozen=True, kw_only=True)
class Euler(OneStepSampler):
    """x0 and the noise direction, as the network sees them, are kept to the next stop: in (alpha, sigma) terms this is DDIM's step."""

    name: ClassVar[str] = "EulerDiscreteScheduler"

    timestep_spacing: Spacing = "linspace"
    sigma_spacing: SigmaSpacing = field(default_factory=SigmaSpacing)
    final_sigma: FinalSigma = "zero"

    def _own_config(self) -> dict[str, Any]:
        return {
            "rescale_betas_zero_snr": self.schedule.rescale_betas_zero_snr,
            **self.sigma_spacing.config(),
            "final_sigmas_type": self.final_sigma,
        }

    def _plan(self, n: int) -> Plan:
        spaced = place(self.timestep_spacing, self.schedule.num_train_timesteps, n, self.steps_offset)
        real = real_type(self.numerics)
        timesteps, ratios = ratio_stops(self.schedule.alpha_bar(self.numerics), spaced, self.sigma_spacing, self.final_sigma, real)
        alphas, sigmas = alpha_sigma(ratios.astype(np.float64))
        steps = transfers(self.prediction_type, alphas, sigmas, sigmas[1:], np.zeros(n))
        return one_call_plan(timesteps, alphas, sigmas, steps, init_scale=first_scale(self.timestep_spacing, sigmas))


def first_scale(spacing: Spacing, sigmas: Float) -> float:
    """Return the scale of the initial noise, as diffusers 0.42.1 has it (``init_noise_sigma``).

    ``leading`` starts at unit variance; the others at sigma, as if the image were empty: less than 1 by 0.2 % for SD 1.x.
    """
    return 1.0 if spacing == "leading" else float(sigmas[0])

"""DDPM: denoising diffusion probabilistic models (Ho et al. 2020, arXiv:2006.11239, algorithm 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np

from sdrt.arrays import F64, Array
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.grids.noise_schedule import BetaSchedule
from sdrt.schedulers.posterior import PosteriorSampler, VarianceType
from sdrt.schedulers.scheduled import SCHEDULE_KEYS
from sdrt.schedulers.spacing import rounded
from sdrt.schedulers.steps.bounds import BOUND_KEYS

__all__ = ["DDPM"]


@dataclass(frozen=True, kw_only=True)
class DDPM(PosteriorSampler):
    """Each step draws from the posterior; the run ends without noise.

    ``fixed_small_log`` and ``fixed_large_log`` are ``fixed_small`` and ``fixed_large`` computed through logarithms. diffusers 0.42.1 takes
    the square root of the logarithm in the second, which is NaN.
    """

    name: ClassVar[str] = "DDPMScheduler"
    keys: ClassVar[Mapping[str, Any]] = (
        SCHEDULE_KEYS
        | BOUND_KEYS
        | {
            "variance_type": "fixed_small",
            "clip_sample": True,
            "clip_sample_range": 1.0,
            "timestep_spacing": "leading",
            "rescale_betas_zero_snr": False,
        }
    )
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "beta_schedule": get_args(BetaSchedule),
        "variance_type": get_args(VarianceType),
    }

    def _plan(self, request: Request) -> Plan:
        timesteps = rounded(self._timesteps(request))
        now, then = (a.astype(real_type(self.numerics)) for a in _ends(timesteps, self.alpha_bar()))
        return self._posterior_plan(timesteps, now, then, 1 - now / then)


def _ends(timesteps: Array, table: F64) -> tuple[F64, F64]:
    """Return alpha_bar where each step starts, and where it ends: f64[calls] each.

    The -1 in which diffusers' trailing spacing ends for some n is the end of the run for the step before it.
    """
    after = np.append(timesteps[1:], -1)
    return table[timesteps], np.where(after >= 0, table[after], 1.0)

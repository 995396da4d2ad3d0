"""unCLIP's sampler (Ramesh et al. 2022, arXiv:2204.06125): DDPM over the cosine schedule, for its prior, decoder and upscalers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import Array
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.posterior import PosteriorSampler, VarianceType
from sdrt.schedulers.spacing import Spacing, rounded

__all__ = ["UnCLIP"]


@dataclass(frozen=True, kw_only=True)
class UnCLIP(PosteriorSampler):
    """Each step ends where the next one starts, as in the pipelines of diffusers, which tell ``step`` so by ``prev_timestep``.

    Without it, diffusers 0.42.1 moves a single timestep down, however far the next one is. And where that is right, it mixes betas with
    1 - alpha_bar, whose float32 rounding differs by 1e-3 next to 1: its last step ends at 0.9995 x0.
    """

    name: ClassVar[str] = "UnCLIPScheduler"
    keys: ClassVar[Mapping[str, Any]] = {
        "num_train_timesteps": 1000,
        "variance_type": "fixed_small_log",
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "prediction_type": "epsilon",
        "beta_schedule": "squaredcos_cap_v2",
    }
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "beta_schedule": ("squaredcos_cap_v2",),
        "variance_type": ("fixed_small_log", "learned_range"),
    }

    schedule: NoiseSchedule = field(default_factory=lambda: NoiseSchedule(beta_schedule="squaredcos_cap_v2"))
    variance_type: VarianceType = "fixed_small_log"
    timestep_spacing: Spacing = "linspace"

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"timestep_spacing": "linspace"}

    def _plan(self, request: Request) -> Plan:
        timesteps = rounded(self._timesteps(request))
        after = self._after(timesteps, request)
        real, table = real_type(self.numerics), self.alpha_bar()
        now, then = table[timesteps].astype(real), np.where(after >= 0, table[after], 1.0).astype(real)
        betas = 1 - now / then
        if self.compat == "diffusers":
            betas = np.where(timesteps - after == 1, self.schedule.betas(self.numerics)[timesteps].astype(real), betas)
        return self._posterior_plan(timesteps, now, then, betas)

    def _after(self, timesteps: Array, request: Request) -> Array:
        """Return the timestep at which each step ends, i64[n]; -1 is the end of the run."""
        if self.compat == "diffusers" and request.timesteps is None:
            return timesteps - 1
        return np.append(timesteps[1:], -1)

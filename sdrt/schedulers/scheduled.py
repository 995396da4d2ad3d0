"""Samplers whose stops are timesteps of a trained noise schedule, where alpha squared and sigma squared add up to 1."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64
from sdrt.schedulers.base import Sampler
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.spacing import Spacing, given, place

__all__ = ["SCHEDULE_KEYS", "TERMINAL", "ScheduledSampler", "with_final"]

# What diffusers' sigma-based classes put in place of a terminal alpha_bar of 0: the smallest float16, since they divide by it.
TERMINAL = 2.0**-24

# The keys that nearly every class of diffusers has, with their usual defaults.
SCHEDULE_KEYS: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "steps_offset": 0,
}


@dataclass(frozen=True, kw_only=True)
class ScheduledSampler(Sampler):
    """What these samplers share: the schedule, and how its timesteps are chosen."""

    terminal_alpha_bar: ClassVar[float] = 0.0  # the last alpha_bar of a schedule rescaled to zero terminal SNR

    schedule: NoiseSchedule = field(default_factory=NoiseSchedule)
    timestep_spacing: Spacing = "leading"
    steps_offset: int = 0

    @property
    def num_train_timesteps(self) -> int:
        """T, the length of the training schedule."""
        return self.schedule.num_train_timesteps

    def alpha_bar(self) -> F64:
        """The signal power at every trained timestep, f64[T]."""
        return self.schedule.alpha_bar(self.numerics)

    def _timesteps(self, request: Request, spare: int = 0) -> F64:
        """Return the timesteps that were asked for, or as many as were, where the spacing puts them; see :func:`place` for ``spare``."""
        if request.timesteps is not None:
            return given(request.timesteps, self.num_train_timesteps)
        return place(self.timestep_spacing, self.num_train_timesteps, request.n, self.steps_offset, spare, self.compat)

    def _config(self) -> dict[str, Any]:
        return super()._config() | self.schedule.config() | {"timestep_spacing": self.timestep_spacing, "steps_offset": self.steps_offset}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {
            "schedule": NoiseSchedule.read(values, cls.terminal_alpha_bar),
            "timestep_spacing": values.get("timestep_spacing", "leading"),
            "steps_offset": values.get("steps_offset", 0),
        }


def with_final(table: F64, at_timesteps: F64, set_alpha_to_one: bool) -> F64:
    """Append the alpha_bar at which the run ends: 1, or that of the first trained timestep."""
    return np.append(at_timesteps, 1.0 if set_alpha_to_one else table[0])

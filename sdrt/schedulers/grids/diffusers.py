"""What diffusers 0.42.1 does otherwise where it chooses stops: each override is one defect, named in its docstring."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64
from sdrt.schedulers.grids.timesteps import TimestepSpacing

__all__ = ["DiffusersTimestepSpacing"]


@dataclass(frozen=True, kw_only=True)
class DiffusersTimestepSpacing(TimestepSpacing):
    """Timesteps of one step, and of trailing spacing."""

    def _linspace(self, num_train_timesteps: int, points: int) -> F64:
        """Start a one-step run at timestep 0, where almost nothing is left to denoise."""
        return np.linspace(0, num_train_timesteps - 1, points)[::-1]

    def _trailing(self, num_train_timesteps: int, n: int) -> F64:
        """Keep the value too many, timestep -1, of some n: such a run has a call more."""
        ends: F64 = np.round(np.arange(num_train_timesteps, 0, -num_train_timesteps / n)) - 1
        return ends

"""What diffusers 0.42.1 does otherwise where it chooses stops: each override is one defect, named in its docstring."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.euler import EulerGrid
from sdrt.schedulers.grids.midpoint import MidpointGrid
from sdrt.schedulers.grids.sigmas import exponential_ratios
from sdrt.schedulers.grids.timesteps import TimestepSpacing

__all__ = ["DiffusersEulerGrid", "DiffusersMidpointGrid", "DiffusersTimestepSpacing"]


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


@dataclass(frozen=True, kw_only=True)
class DiffusersEulerGrid(EulerGrid):
    """The ratios of ``log_linear``."""

    def _choose(self, request: Request, training: Float) -> tuple[F64, F64]:
        """Spread a ratio more than there are steps, and tell the network the timesteps of ``timestep_spacing``.

        A run so ends at the smallest ratio and never reaches the final one, and the timesteps are those at which training had other ratios.
        """
        if self.interpolation_type == "linear":
            return super()._choose(request, training)
        high, low = float(training[-1]), float(training[0])
        if self.sigma_spacing.kind != "interpolated":
            ratios = self.sigma_spacing.spread(high, low, request.n)
            return self.network_timesteps(ratios), ratios
        timesteps = self.spacing.timesteps(request, len(training)).astype(training.dtype).astype(np.float64)
        return timesteps, exponential_ratios(high, low, request.n + 1)


@dataclass(frozen=True, kw_only=True)
class DiffusersMidpointGrid(MidpointGrid):
    """The timesteps of Karras ratios."""

    def _choose(self, request: Request, training: Float) -> tuple[F64, F64]:
        """Round the network's timesteps of Karras ratios, by half a timestep at most."""
        timesteps, ratios = super()._choose(request, training)
        karras = self.sigma_spacing.kind == "karras" and request.timesteps is None
        return np.round(timesteps) if karras else timesteps, ratios

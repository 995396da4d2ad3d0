"""What diffusers 0.42.1 does otherwise where it chooses stops: each override is one defect, named in its docstring."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.exact.sequences import arange, linspace
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.euler import EulerGrid
from sdrt.schedulers.grids.midpoint import MidpointGrid
from sdrt.schedulers.grids.ratio import RatioGrid
from sdrt.schedulers.grids.sigmas import exponential_ratios
from sdrt.schedulers.grids.timesteps import TimestepSpacing

__all__ = ["DiffusersEulerGrid", "DiffusersMidpointGrid", "DiffusersRatioGrid", "DiffusersTimestepSpacing"]


@dataclass(frozen=True, kw_only=True)
class DiffusersTimestepSpacing(TimestepSpacing):
    """Timesteps of one step, and of trailing spacing."""

    def _linspace(self, num_train_timesteps: int, points: int) -> F64:
        """Start a one-step run at timestep 0, where almost nothing is left to denoise."""
        return linspace(0, num_train_timesteps - 1, points)[::-1]

    def _trailing(self, num_train_timesteps: int, n: int) -> F64:
        """Keep the value too many, timestep -1, of some n: such a run has a call more."""
        ends: F64 = np.round(arange(num_train_timesteps, 0, -num_train_timesteps / n)) - 1
        return ends


def spaced_ends(self: RatioGrid, ratios: F64, training: Float) -> tuple[float, float]:  # noqa: ARG001
    """Spread a formula between the ratios of the spacing's first and last timestep.

    Under leading or trailing spacing they are not those of training: SDXL's 20 Karras steps run from 11.0 to 0.041, not from 14.6 to 0.029.
    """
    return float(ratios[0]), float(ratios[-1])


@dataclass(frozen=True, kw_only=True)
class DiffusersRatioGrid(RatioGrid):
    """The range of Karras ratios and their like."""

    _formula_ends = spaced_ends


@dataclass(frozen=True, kw_only=True)
class DiffusersEulerGrid(EulerGrid):
    """The range of Karras ratios and their like, and the ratios of ``log_linear``."""

    _formula_ends = spaced_ends

    def _choose(self, request: Request, training: Float) -> tuple[F64, F64]:
        """Spread a ratio more than there are steps, and tell the network the timesteps of ``timestep_spacing``.

        A run so ends at the smallest ratio and never reaches the final one, and the timesteps are those at which training had other ratios.
        """
        if self.interpolation_type == "linear":
            return super()._choose(request, training)
        high, low = float(training[-1]), float(training[0])
        if self.sigma_spacing.kind != "interpolated":
            ratios = self.sigma_spacing.spread(high, low, request.n, self.functions)
            return self.network_timesteps(ratios), ratios
        timesteps = self.spacing.timesteps(request, len(training)).astype(training.dtype).astype(np.float64)
        return timesteps, exponential_ratios(high, low, request.n + 1, self.functions)


@dataclass(frozen=True, kw_only=True)
class DiffusersMidpointGrid(MidpointGrid):
    """The range of Karras ratios and their like, and the timesteps of Karras ratios."""

    _formula_ends = spaced_ends

    def _choose(self, request: Request, training: Float) -> tuple[F64, F64]:
        """Round the network's timesteps of Karras ratios, by half a timestep at most."""
        timesteps, ratios = super()._choose(request, training)
        karras = self.sigma_spacing.kind == "karras" and request.timesteps is None
        return np.round(timesteps) if karras else timesteps, ratios

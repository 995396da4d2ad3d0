"""What diffusers 0.42.1 does otherwise where it chooses the noise levels of EDM and of consistency models."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.schedulers.core.run import Level
from sdrt.schedulers.grids.consistency import ConsistencyGrid
from sdrt.schedulers.grids.edm import EDMGrid
from sdrt.schedulers.grids.sigmas import karras_at

__all__ = ["DiffusersConsistencyGrid", "DiffusersEDMGrid"]


@dataclass(frozen=True, kw_only=True)
class DiffusersEDMGrid(EDMGrid):
    """One exponential level, and levels that a caller lays down."""

    def _exponential(self, n: int) -> F64:
        """Start a one-step run at the lowest level."""
        return np.array([self.sigma_min]) if n == 1 else super()._exponential(n)

    def _check(self, levels: F64) -> F64:
        """Take a caller's levels for positions on the own spread, 0 the noisiest and 1 the cleanest; count them where it is exponential."""
        if levels.max() > 1:
            raise ConfigError(f"diffusers takes sigmas for positions in [0, 1], got {levels.max():g}; leave compat out for noise levels")
        if self.sigma_schedule == "exponential":
            return self._exponential(len(levels))
        return karras_at(levels, self.sigma_max, self.sigma_min, self.rho, self.functions)


@dataclass(frozen=True, kw_only=True)
class DiffusersConsistencyGrid(ConsistencyGrid):
    """The deviation of the first noise."""

    def init_scale(self, first: Level) -> float:
        """Take ``sigma_max`` wherever a run begins."""
        del first
        return self.sigma_max

"""What diffusers 0.42.1's DDIMScheduler and DDIMInverseScheduler do otherwise."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.timestep_table import TableLevels
from sdrt.schedulers.samplers.ddim import DDIM
from sdrt.schedulers.samplers.ddim_inverse import DDIMInverse

__all__ = ["DiffusersDDIM", "DiffusersDDIMInverse"]


@dataclass(frozen=True, kw_only=True)
class DiffusersDDIM(DDIM):
    """Steps of T // n timesteps."""

    def _levels(self, request: Request) -> TableLevels:
        """End a step at ``timestep - T // n``.

        That is not where the next one starts wherever n does not divide T under ``trailing``, and under ``linspace``; ``leading`` agrees,
        save that there the run ends at the final alpha_bar even if steps_offset >= T // n.
        """
        levels = super()._levels(request)
        if request.timesteps is not None:
            return levels
        return levels._replace(ends=self.grid.alpha_bar_at(levels.timesteps - self.num_train_timesteps // request.n))


@dataclass(frozen=True, kw_only=True)
class DiffusersDDIMInverse(DDIMInverse):
    """Steps of T // n timesteps."""

    def _starts(self, timesteps: Array, request: Request) -> Float:
        """Take the sample to be at ``timestep - T // n``: see :class:`DiffusersDDIM` for where that is another place."""
        if request.timesteps is not None:
            return super()._starts(timesteps, request)
        return self.grid.alpha_bar_at(np.asarray(timesteps - self.num_train_timesteps // request.n))

"""What diffusers 0.42.1's UnCLIPScheduler does otherwise."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.timestep_table import TableLevels
from sdrt.schedulers.samplers.unclip import UnCLIP

__all__ = ["DiffusersUnCLIP"]


@dataclass(frozen=True, kw_only=True)
class DiffusersUnCLIP(UnCLIP):
    """Steps of a single timestep, and betas of another rounding."""

    def _levels(self, request: Request) -> tuple[TableLevels, Float]:
        """Move a single timestep down, however far the next one is, unless a caller lays the timesteps down.

        Where that is right, betas are mixed with 1 - alpha_bar, whose float32 rounding differs by 1e-3 next to 1: the last step ends at
        0.9995 x0.
        """
        levels, betas = super()._levels(request)
        after = np.append(levels.timesteps[1:], -1) if request.timesteps is not None else levels.timesteps - 1
        levels = levels._replace(ends=self.grid.alpha_bar_at(after))
        betas = 1 - levels.alpha_bars / levels.ends
        trained = self.grid.schedule.betas(self.numerics)[levels.timesteps].astype(betas.dtype)
        return levels, np.where(levels.timesteps - after == 1, trained, betas)

"""What diffusers 0.42.1 does otherwise where it chooses a flow's noise levels."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64
from sdrt.schedulers.core.run import Level
from sdrt.schedulers.grids.flow import FlowGrid, check_falling
from sdrt.schedulers.grids.flow_shift import shift_sigmas
from sdrt.schedulers.steps.linear import Weights

__all__ = ["DiffusersFlowGrid"]


@dataclass(frozen=True, kw_only=True)
class DiffusersFlowGrid(FlowGrid):
    """A second shift of the last level and of a caller's timesteps, a mu that means nothing, and inverted levels taken for others."""

    def _lowest(self) -> float:
        """Shift the last level twice: a run of SD3 (shift 3) makes its last step from 0.0089, not from 0.0030, where training ends."""
        smallest = super()._lowest()
        return smallest if self.use_dynamic_shifting else float(shift_sigmas(np.array(smallest), self.shift))

    def _at(self, shares: F64, shift: float) -> F64:
        """Shift the noise levels of a caller's timesteps once more, while the network is called at the timesteps."""
        return self._spread(shift_sigmas(check_falling("timesteps / num_train_timesteps", shares), shift))

    def _own_timesteps(self, timesteps: F64, sigmas: F64) -> F64:
        """Where levels are inverted, tell the network those instead of a caller's timesteps."""
        return self.network_timesteps(sigmas) if self.invert_sigmas else super()._own_timesteps(timesteps, sigmas)

    def _static_shift(self, mu: float | None) -> float:
        """Take a mu, and do nothing with it."""
        del mu
        return self.shift

    def redraw(self, level: Level, level_next: Level) -> Weights:
        """Take inverted levels for noise levels, which ends such a run with pure noise."""
        if not self.invert_sigmas:
            return super().redraw(level, level_next)
        sigma, sigma_next = level.alpha, level_next.alpha
        return Weights(x=1 - sigma_next, output=-sigma * (1 - sigma_next), noise=sigma_next)

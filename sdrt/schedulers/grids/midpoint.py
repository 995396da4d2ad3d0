"""Stops of the midpoint methods, which also call the network in the middle of a step."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.run import Level
from sdrt.schedulers.grids.ratio import RatioGrid

__all__ = ["MidpointGrid"]


@dataclass(frozen=True, kw_only=True)
class MidpointGrid(RatioGrid):
    """Pass the network the fractional timesteps of its ratios."""

    def middles(self, ratios: Float, ratios_next: Float) -> tuple[Level, ...]:
        """Return the level in the middle of each step, in the logarithm of the ratio.

        The logarithms are computed in the ratios' own type, in torch.lerp's order: at its weight of one half it starts from the end, which
        differs from the other order in last bits. A step to ratio 0 has no middle, and gives the level 0.

        Parameters
        ----------
        ratios, ratios_next : real[n]
            Where each step starts and ends.
        """
        real = ratios.dtype
        with np.errstate(divide="ignore", invalid="ignore"):
            start, end = (self.functions.log(ends.astype(np.float64)).astype(real) for ends in (ratios, ratios_next))
            middle = end - (end - start) * real.type(0.5)
        levels = self.functions.exp(middle.astype(np.float64)).astype(real)
        return self.levels_at(np.where(ratios_next == 0, 0, levels).astype(np.float64))

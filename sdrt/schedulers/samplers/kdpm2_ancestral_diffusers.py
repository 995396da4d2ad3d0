"""DPM-Solver-2 with ancestral noise as diffusers 0.42.1 splits its steps."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.samplers.kdpm2_ancestral import KDPM2Ancestral

__all__ = ["DiffusersKDPM2Ancestral"]


@dataclass(frozen=True, kw_only=True)
class DiffusersKDPM2Ancestral(KDPM2Ancestral):
    """Squares are subtracted in the ratios' own type."""

    def _split(self, ratios: Float) -> tuple[F64, F64]:
        """Subtract squares in float32: of a step that leaves a hundredth of the noise, little of ``down`` is left, and of the midpoint.

        diffusers has no eta: others than 1 are split as by default.
        """
        if self.eta != 1:
            return super()._split(ratios)
        start, end = ratios[:-1], ratios[1:]
        up = np.sqrt(end * end * (start * start - end * end) / (start * start))
        down = np.sqrt(np.maximum(end * end - up * up, 0))
        return down.astype(np.float64), up.astype(np.float64)

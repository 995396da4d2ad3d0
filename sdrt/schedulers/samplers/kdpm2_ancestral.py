"""DPM-Solver-2 with ancestral noise (K. Crowson's k-diffusion, ``sample_dpm_2_ancestral``).

KDPM2's step, which leads to r_down below the next stop, and fresh noise back up: r_down**2 + r_up**2 = r'**2.

    x' / alpha' = x / alpha + (r_down - r) * eps_hat(x_mid, r_mid) + r_up * s_noise * z,    r_mid = sqrt(r * r_down)
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.midpoint import MidpointGrid
from sdrt.schedulers.samplers.euler_ancestral import ancestral_split
from sdrt.schedulers.samplers.kdpm2 import midpoint_step
from sdrt.schedulers.steps.linear import LinearCall, linear_plan
from sdrt.values import Number

__all__ = ["KDPM2Ancestral"]


@dataclass(frozen=True, kw_only=True)
class KDPM2Ancestral(Sampler):
    """A midpoint step to below the next stop, and fresh noise back up. Noise is drawn at the second call of a step only.

    The timesteps of Karras ratios are fractional here, as in :class:`KDPM2`.
    """

    name: ClassVar[str] = "KDPM2AncestralDiscreteScheduler"
    calls_per_step: ClassVar[int] = 2
    step_options: ClassVar[tuple[str, ...]] = ("eta", "s_noise")

    prediction_type: Literal["epsilon", "v_prediction"] = setting("epsilon")
    grid: MidpointGrid = group(MidpointGrid, without=["final_sigmas_type", "rescale_betas_zero_snr"], beta_start=0.00085, beta_end=0.012)
    eta: float = option(1.0, Number(0))  # how much of a step's variance is fresh: 0 makes KDPM2 of it
    s_noise: float = option(1.0, Number(0))  # deviation of that noise

    def _plan(self, request: Request) -> Plan:
        levels = self.grid.levels(request)
        down, up = self._split(levels.ratios)
        middles = self.grid.middles(levels.ratios[:-1], down.astype(levels.ratios.dtype))
        calls: list[LinearCall] = []
        for (level, level_next), middle, below, fresh in zip(pairwise(levels.stops), middles, down.tolist(), up.tolist(), strict=True):
            calls += midpoint_step(level, middle, level_next, below, fresh * self.s_noise, draws=True)
        return linear_plan(self.prediction_type, calls, levels.stops[-1], self.grid.init_scale(levels.stops[0]))

    def _split(self, ratios: Float) -> tuple[F64, F64]:
        """Return how far down each step goes, and how much noise brings it back up: f64[n] each."""
        splits = [
            ancestral_split(ratio, ratio_next, self.eta, self.functions)
            for ratio, ratio_next in pairwise(ratios.astype(np.float64).tolist())
        ]
        down, up = np.array(splits).T
        return down, up

"""DPM-Solver-2, the midpoint method of K. Crowson's k-diffusion (``sample_dpm_2``), inspired by Karras et al. 2022 and Lu et al. 2022.

With r = sigma / alpha and r_mid = sqrt(r * r'), the middle of the step in log r:

    x_mid / alpha_mid = x0_hat(x, r) + r_mid * eps_hat(x, r)
    x'    / alpha'    = x / alpha + (r' - r) * eps_hat(x_mid, r_mid)
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.midpoint import MidpointGrid
from sdrt.schedulers.steps.linear import LinearCall, LinearStep, linear_plan

__all__ = ["KDPM2", "midpoint_step"]


@dataclass(frozen=True, kw_only=True)
class KDPM2(Sampler):
    """An Euler step to the middle of the step in log ratio, then the whole step along the slope there. The step to no noise is Euler's.

    The network takes the fractional timesteps of its ratios; diffusers 0.42.1 rounds those of Karras ratios, by half a timestep at most.
    """

    name: ClassVar[str] = "KDPM2DiscreteScheduler"
    calls_per_step: ClassVar[int] = 2

    prediction_type: Literal["epsilon", "v_prediction"] = setting("epsilon")
    grid: MidpointGrid = group(MidpointGrid, without=["final_sigmas_type", "rescale_betas_zero_snr"], beta_start=0.00085, beta_end=0.012)

    def _plan(self, request: Request) -> Plan:
        levels = self.grid.levels(request)
        middles = self.grid.middles(levels.ratios[:-1], levels.ratios[1:])
        calls: list[LinearCall] = []
        for (level, level_next), middle in zip(pairwise(levels.stops), middles, strict=True):
            calls += midpoint_step(level, middle, level_next, level_next.ratio)
        return linear_plan(self.prediction_type, calls, levels.stops[-1], self.grid.init_scale(levels.stops[0]))


def midpoint_step(
    level: Level, middle: Level, level_next: Level, down: float, noise: float = 0.0, *, draws: bool = False
) -> tuple[LinearCall, ...]:
    """Return the calls of a step that leads to ratio ``down`` by the network, and from there to the next stop by fresh noise."""
    if not level_next.ratio:
        return (LinearCall(at=level, step=LinearStep(x0=1.0, scale=level_next.alpha)),)
    alpha = level_next.alpha
    euler = LinearStep(x0=1.0, eps=middle.ratio, scale=middle.alpha)
    whole = LinearStep(start=alpha / level.alpha, eps=alpha * (down - level.ratio), noise=alpha * noise)
    return LinearCall(at=level, step=euler, ends=False), LinearCall(at=middle, start=level, step=whole, draws=draws)

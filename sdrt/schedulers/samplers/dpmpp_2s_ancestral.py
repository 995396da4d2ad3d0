"""DPM-Solver++(2S) with ancestral noise (K. Crowson's k-diffusion, ``sample_dpmpp_2s_ancestral``); diffusers has no such class.

With r = sigma / alpha, a step from r goes with its x0 held to r_mid = sqrt(r * r_down), and then from r all the way with the x0 seen there:

    x_mid / alpha_mid = r_mid / r * x / alpha  + (1 - r_mid / r) * x0_hat(x, r)
    x'    / alpha'    = r_down / r * x / alpha + (1 - r_down / r) * x0_hat(x_mid, r_mid) + r_up * s_noise * z

Source: Lu et al. 2022 (arXiv:2211.01095), equation 14 and algorithm 1.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.ratio import RatioGrid
from sdrt.schedulers.samplers.euler_ancestral import ancestral_split
from sdrt.schedulers.steps.linear import LinearCall, LinearStep, linear_plan
from sdrt.values import Number

__all__ = ["DPMPP2SAncestral", "exponential_step"]


@dataclass(frozen=True, kw_only=True)
class DPMPP2SAncestral(Sampler):
    """A singlestep DPM-Solver++ step of second order to below the next stop, and fresh noise back up.

    Noise is drawn at the second call of a step; the step to no noise is one call of Euler's, and draws none.
    """

    name: ClassVar[str] = "DPMPP2SAncestralScheduler"
    calls_per_step: ClassVar[int] = 2
    step_options: ClassVar[tuple[str, ...]] = ("eta", "s_noise")

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: RatioGrid = group(RatioGrid, without=["final_sigmas_type"])
    eta: float = option(1.0, Number(0))  # how much of a step's variance is fresh: 0 leaves a deterministic method of second order
    s_noise: float = option(1.0, Number(0))  # deviation of that noise

    def _plan(self, request: Request) -> Plan:
        stops = self.grid.levels(request).stops
        splits = [ancestral_split(level.ratio, level_next.ratio, self.eta, self.functions) for level, level_next in pairwise(stops)]
        middles = self.grid.levels_at(np.array([math.sqrt(level.ratio * down) for level, (down, _) in zip(stops, splits, strict=False)]))
        calls: list[LinearCall] = []
        for (level, level_next), middle, (down, up) in zip(pairwise(stops), middles, splits, strict=True):
            calls += self._step(level, middle, level_next, down, up * self.s_noise)
        return linear_plan(self.prediction_type, calls, stops[-1], self.grid.init_scale(stops[0]))

    def _step(self, level: Level, middle: Level, level_next: Level, down: float, noise: float) -> tuple[LinearCall, ...]:
        fresh = level_next.alpha * noise
        if not down:  # x0 alone, be it of a step to no noise or of one that draws all of its noise anew
            return (LinearCall(at=level, step=LinearStep(x0=1.0, scale=level_next.alpha, noise=fresh), draws=noise > 0),)
        kept, share = exponential_step(level, level_next.alpha, down)
        kept_half, share_half = exponential_step(level, middle.alpha, middle.ratio)
        return (
            LinearCall(at=level, step=LinearStep(x=kept_half, x0=share_half), ends=False),
            LinearCall(at=middle, start=level, step=LinearStep(start=kept, x0=share, noise=fresh), draws=True),
        )


def exponential_step(level: Level, alpha_next: float, down: float) -> tuple[float, float]:
    """Return the weights of the sample and of x0 in a step to ratio ``down`` that holds x0, seen at a stop of scale ``alpha_next``.

    Exact in the linear part of the flow, which is what makes a method one of DPM-Solver++.
    """
    return alpha_next * down / level.sigma, alpha_next * (1 - down / level.ratio)

"""Ancestral sampling with Euler steps (K. Crowson's k-diffusion, ``sample_euler_ancestral``).

With r = sigma / alpha, a step from r to r' goes down to r_down along the flow, and back up to r' with fresh noise z:

    x' = alpha' * (x0_hat + r_down * eps_hat + r_up * s_noise * z),    r_down**2 + r_up**2 = r'**2
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from sdrt.exact.mathematics import PLATFORM, Functions, functions_of
from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.ratio import NamedRatioGrid, RatioGrid
from sdrt.schedulers.steps.linear import LinearCall, LinearStep, linear_plan
from sdrt.values import Number

__all__ = ["EulerAncestral", "ancestral_split"]


@dataclass(frozen=True, kw_only=True)
class EulerAncestral(Sampler):
    """Each step goes further down than its stop, and fresh noise brings it back up.

    Noise is drawn at every step, the last included, where its weight is 0: the stream's position is part of the contract.
    """

    name: ClassVar[str] = "EulerAncestralDiscreteScheduler"
    step_options: ClassVar[tuple[str, ...]] = ("eta", "s_noise")

    prediction_type: Literal["epsilon", "v_prediction"] = setting("epsilon")
    grid: RatioGrid = group(NamedRatioGrid, without=["final_sigmas_type"])
    eta: float = option(1.0, Number(0))  # how much of a step's variance is fresh: 0 makes Euler of it
    s_noise: float = option(1.0, Number(0))  # deviation of that noise

    def _plan(self, request: Request) -> Plan:
        levels = self.grid.levels(request)
        calls = [LinearCall(at=level, step=self._step(level, level_next), draws=True) for level, level_next in pairwise(levels.stops)]
        return linear_plan(self.prediction_type, calls, levels.stops[-1], self.grid.init_scale(levels.stops[0]))

    def _step(self, level: Level, level_next: Level) -> LinearStep:
        down, up = ancestral_split(level.ratio, level_next.ratio, self.eta, functions_of(self.grid.numerics))
        alpha = level_next.alpha
        return LinearStep(x0=alpha, eps=alpha * down, noise=alpha * up * self.s_noise)


def ancestral_split(ratio: float, ratio_next: float, eta: float = 1.0, functions: Functions = PLATFORM) -> tuple[float, float]:
    """Return (down, up) with down**2 + up**2 = ratio_next**2.

    Parameters
    ----------
    ratio, ratio_next : float, ratio >= ratio_next but for rounding
        Of noise to signal where a step starts and where it ends; the first is above 0.
    eta : float, at least 0
        How much of the variance is fresh: 0 none, 1 as much as the training's own process has when it is run backwards.

    Source: k-diffusion, ``get_ancestral_step``; the differences of squares are divided out, which near 0 would cancel.
    """
    fall = ratio_next / ratio
    share = min(functions.square(eta) * (1 - fall * fall), 1.0)
    return ratio_next * math.sqrt(1 - share), ratio_next * math.sqrt(max(share, 0.0))

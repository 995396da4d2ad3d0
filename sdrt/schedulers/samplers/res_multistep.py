"""RES, the exponential multistep method of second order (Zhang et al. 2023, arXiv:2308.02157); diffusers has no such class.

With r = sigma / alpha, h = log(r / r_down) and h_last that of the step before,

    x' / alpha' = r_down / r * x / alpha + (1 - r_down / r) * x0_hat
                  + h * phi_2(-h) * h / h_last * (x0_hat - x0_hat_last) + r_up * s_noise * z

where phi_2(z) = (phi_1(z) - 1) / z and phi_1(z) = (exp(z) - 1) / z. ComfyUI's names for it are ``res_multistep`` and
``res_multistep_ancestral``. Without fresh noise the method is DPM-Solver++(2M) in its ``heun`` form.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from sdrt.arrays import Float
from sdrt.exact.mathematics import Functions
from sdrt.schedulers.core.prediction import to_x0
from sdrt.schedulers.core.run import Level, Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.ratio import RatioGrid
from sdrt.schedulers.samplers.euler_ancestral import ancestral_split
from sdrt.schedulers.steps.linear import linear_combination, plan_of
from sdrt.values import Number

__all__ = ["ResMultistep", "ResMultistepAncestral", "ResMultistepCall"]


class ResMultistepCall(NamedTuple):
    """The numbers of one call: x' = x * sample + x0 * predicted x0 + change * (x0 - the one before) + noise * fresh noise."""

    alpha: float
    sigma: float
    x: float
    x0: float
    change: float
    noise: float


@dataclass(frozen=True, kw_only=True)
class ResMultistep(Sampler):
    """x0 is extrapolated along the line through its last two values, in -log ratio, and the linear part of the flow is solved exactly."""

    name: ClassVar[str] = "ResMultistepScheduler"
    step_options: ClassVar[tuple[str, ...]] = ("eta", "s_noise")

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: RatioGrid = group(RatioGrid)
    eta: float = option(0.0, Number(0))  # how much of a step's variance is fresh
    s_noise: float = option(1.0, Number(0))  # deviation of that noise

    def _plan(self, request: Request) -> Plan:
        stops = self.grid.levels(request).stops
        splits = [ancestral_split(level.ratio, level_next.ratio, self.eta, self.functions) for level, level_next in pairwise(stops)]
        changes = [0.0, *(_change(*steps, self.functions) for steps in pairwise(zip(stops, (down for down, _ in splits), strict=False)))]
        numbers = zip(pairwise(stops), splits, changes, strict=True)
        calls = [self._call(level, level_next, *split, change) for (level, level_next), split, change in numbers]
        return plan_of(stops, calls, self.grid.init_scale(stops[0]), draws=tuple(up > 0 for _, up in splits))

    def _call(self, level: Level, level_next: Level, down: float, up: float, change: float) -> ResMultistepCall:
        alpha = level_next.alpha
        return ResMultistepCall(
            alpha=level.alpha,
            sigma=level.sigma,
            x=alpha * down / level.sigma,
            x0=alpha * (1 - down / level.ratio),
            change=alpha * change,
            noise=alpha * up * self.s_noise,
        )

    def _advance(self, c: ResMultistepCall, state: State, output: Float, noise: Float | None) -> State:
        x0 = to_x0(self.prediction_type, state.x, output, c.alpha, c.sigma)
        change = c.change if state.history else 0.0
        x0_last = state.history[0] if state.history else None
        x = linear_combination((c.x, c.x0 + change, -change, c.noise), (state.x, x0, x0_last, noise))
        return state.advance(x, history=(x0,))


@dataclass(frozen=True, kw_only=True)
class ResMultistepAncestral(ResMultistep):
    """The same to below the next stop, and fresh noise back up."""

    name: ClassVar[str] = "ResMultistepAncestralScheduler"

    eta: float = option(1.0, Number(0))  # how much of a step's variance is fresh


def _change(last: tuple[Level, float], step: tuple[Level, float], functions: Functions) -> float:
    """Return the weight of x0's last change in a step from a level down to a ratio, after such a step: h phi_2(-h) h / h_last.

    h and h_last are the lengths in -log ratio, as far down as the steps go before fresh noise is added. Counted between the stops instead,
    h_last gives a variance of order 1, not 2.
    """
    (level_last, down_last), (level, down) = last, step
    if not 0 < down < level.ratio < level_last.ratio:
        return 0.0
    h, h_last = (float(functions.log(np.float64(fall))) for fall in (level.ratio / down, level_last.ratio / down_last))
    return (1 + float(functions.expm1(np.float64(-h))) / h) * h / h_last

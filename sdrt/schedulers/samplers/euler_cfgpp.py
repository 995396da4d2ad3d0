"""CFG++ with Euler steps (Chung et al. 2024, arXiv:2406.08070); diffusers has no such classes.

Guidance moves x0 alone: a step keeps the guided x0, and the noise that the network sees without the prompt,

    x' = alpha' * (x0_hat(guided) + r_down * eps_hat(unconditional) + r_up * s_noise * z)

(algorithm 2, and with fresh noise as in ancestral sampling). The guidance scale is then at home between 0 and 1, where 1 is the conditional
x0 itself. ComfyUI's names are ``euler_cfg_pp`` and ``euler_ancestral_cfg_pp``.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import eps_weights, x0_weights
from sdrt.schedulers.core.run import Level, Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.ratio import RatioGrid
from sdrt.schedulers.samplers.euler_ancestral import ancestral_split
from sdrt.schedulers.steps.linear import LinearCall, LinearStep, Weights, linear_combination, linear_plan
from sdrt.values import Number

__all__ = ["EulerAncestralCFGPP", "EulerCFGPP"]


@dataclass(frozen=True, kw_only=True)
class EulerCFGPP(Sampler):
    """Euler's step with another noise; without guidance it is Euler's own."""

    name: ClassVar[str] = "EulerCFGPPScheduler"
    needs_unconditional: ClassVar[bool] = True
    step_options: ClassVar[tuple[str, ...]] = ("eta", "s_noise")

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: RatioGrid = group(RatioGrid)
    eta: float = option(0.0, Number(0))  # how much of a step's variance is fresh
    s_noise: float = option(1.0, Number(0))  # deviation of that noise

    def _plan(self, request: Request) -> Plan:
        levels = self.grid.levels(request)
        calls = [self._call(level, level_next) for level, level_next in pairwise(levels.stops)]
        return linear_plan(self.prediction_type, calls, levels.stops[-1], self.grid.init_scale(levels.stops[0]))

    def _call(self, level: Level, level_next: Level) -> LinearCall:
        down, up = ancestral_split(level.ratio, level_next.ratio, self.eta, self.functions)
        alpha = level_next.alpha
        return LinearCall(at=level, step=LinearStep(x0=alpha, eps=alpha * down, noise=alpha * up * self.s_noise), draws=up > 0)

    def _advance_guided(self, c: Weights, state: State, output: Float, unconditional: Float, noise: Float | None) -> State:
        guided = c.step.x0 * x0_weights(self.prediction_type, c.alpha, c.sigma)[1]
        unguided = c.step.eps * eps_weights(self.prediction_type, c.alpha, c.sigma)[1]
        return state.advance(linear_combination((c.x, guided, unguided, c.noise), (state.x, output, unconditional, noise)))


@dataclass(frozen=True, kw_only=True)
class EulerAncestralCFGPP(EulerCFGPP):
    """The same to below the next stop, and fresh noise back up."""

    name: ClassVar[str] = "EulerAncestralCFGPPScheduler"

    eta: float = option(1.0, Number(0))  # how much of a step's variance is fresh

"""CFG++ with DPM-Solver++(2M) steps (Chung et al. 2024, arXiv:2406.08070; Lu et al. 2022, arXiv:2211.01095); diffusers has no such class.

With h = log(r / r'), h_last that of the step before, and both x0 read without the prompt where they are not called guided,

    x' = sigma' / sigma * x + alpha' * (x0_hat(guided) - r' / r * x0_hat + (1 - exp(-h)) * h / (2 * h_last) * (x0_hat - x0_hat_last))

ComfyUI's name is ``dpmpp_2m_cfg_pp``.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import to_x0
from sdrt.schedulers.core.run import Level, Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.ratio import RatioGrid
from sdrt.schedulers.steps.linear import linear_combination, plan_of

__all__ = ["DPMPP2MCFGPP", "DPMPP2MCFGPPCall"]


class DPMPP2MCFGPPCall(NamedTuple):
    """The numbers of one call: x' = x * sample + guided * guided x0 + unguided * x0 + change * (x0 - the one before)."""

    alpha: float
    sigma: float
    x: float
    guided: float
    unguided: float
    change: float


@dataclass(frozen=True, kw_only=True)
class DPMPP2MCFGPP(Sampler):
    """The sample goes towards the guided x0; the noise that it keeps, and the change of x0 along the way, are those without the prompt.

    Without guidance it is DPM-Solver++(2M) in its midpoint form.
    """

    name: ClassVar[str] = "DPMPP2MCFGPPScheduler"
    needs_unconditional: ClassVar[bool] = True

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: RatioGrid = group(RatioGrid)

    def _plan(self, request: Request) -> Plan:
        stops = self.grid.levels(request).stops
        lasts = (None, *stops)
        calls = [self._call(last, level, level_next) for last, (level, level_next) in zip(lasts, pairwise(stops), strict=False)]
        return plan_of(stops, calls, self.grid.init_scale(stops[0]))

    def _call(self, last: Level | None, level: Level, level_next: Level) -> DPMPP2MCFGPPCall:
        kept = level_next.ratio / level.ratio
        change = 0.0
        if last is not None and level_next.ratio > 0 and level.ratio < last.ratio:
            falls = level.ratio / level_next.ratio, last.ratio / level.ratio
            h, h_last = (float(self.functions.log(np.float64(fall))) for fall in falls)
            change = -float(self.functions.expm1(np.float64(-h))) * h / (2 * h_last)
        return DPMPP2MCFGPPCall(
            alpha=level.alpha,
            sigma=level.sigma,
            x=level_next.sigma / level.sigma,
            guided=level_next.alpha,
            unguided=-level_next.alpha * kept,
            change=level_next.alpha * change,
        )

    def _advance(self, c: DPMPP2MCFGPPCall, state: State, output: Float, noise: Float | None) -> State:
        return self._advance_guided(c, state, output, output, noise)

    def _advance_guided(
        self,
        c: DPMPP2MCFGPPCall,
        state: State,
        output: Float,
        unconditional: Float,
        noise: Float | None,  # noqa: ARG002
    ) -> State:
        guided = to_x0(self.prediction_type, state.x, output, c.alpha, c.sigma)
        change, last = (c.change, state.history[0]) if state.history else (0.0, None)
        if unconditional is output:  # no guidance: one x0 is both
            x0, terms = guided, [(c.guided + c.unguided + change, guided)]
        else:
            x0 = to_x0(self.prediction_type, state.x, unconditional, c.alpha, c.sigma)
            terms = [(c.guided, guided), (c.unguided + change, x0)]
        x = linear_combination(*zip((c.x, state.x), *terms, (-change, last), strict=True))
        return state.advance(x, history=(x0,))

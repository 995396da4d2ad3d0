"""CFG++ with DPM-Solver++(2M) steps (Chung et al. 2024, arXiv:2406.08070; Lu et al. 2022, arXiv:2211.01095); diffusers has no such class.

ComfyUI's name is ``dpmpp_2m_cfg_pp``.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.prediction import to_x0
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.grids.ratio import alpha_sigma
from sdrt.schedulers.one_step import one_call_plan
from sdrt.schedulers.ratio_sampler import EndedRatioSampler
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.weighted_sum import combined

__all__ = ["DPMPP2MCFGPP", "DPMPP2MCFGPPCall"]


@dataclass(frozen=True, kw_only=True)
class DPMPP2MCFGPPCall:
    """The numbers of one call: x' = x * sample + guided * guided x0 + unguided * x0 + change * (x0 - the one before)."""

    alpha: float
    sigma: float
    x: float
    guided: float
    unguided: float
    change: float


@dataclass(frozen=True, kw_only=True)
class DPMPP2MCFGPP(EndedRatioSampler):
    """The sample goes towards the guided x0; the noise that it keeps, and the change of x0 along the way, are those without the prompt.

    Without guidance it is DPM-Solver++(2M) in its midpoint form.
    """

    name: ClassVar[str] = "DPMPP2MCFGPPScheduler"
    needs_unconditional: ClassVar[bool] = True

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = self._stops(request, self.final_sigma)
        wide = ratios.astype(np.float64)
        alphas, sigmas = alpha_sigma(wide)
        kept = wide[1:] / wide[:-1]
        columns = (alphas[:-1], sigmas[:-1], sigmas[1:] / sigmas[:-1], alphas[1:], -alphas[1:] * kept, alphas[1:] * _changes(wide))
        names = ("alpha", "sigma", "x", "guided", "unguided", "change")
        calls = tuple(
            DPMPP2MCFGPPCall(**dict(zip(names, numbers, strict=True))) for numbers in zip(*(c.tolist() for c in columns), strict=True)
        )
        return one_call_plan(timesteps, alphas, sigmas, calls, init_scale=first_scale(self.timestep_spacing, float(sigmas[0])))

    def _advance(self, c: DPMPP2MCFGPPCall, state: State, output: Float, noise: Float | None) -> State:
        return self._advance_guided(c, state, output, None, noise)

    def _advance_guided(
        self,
        c: DPMPP2MCFGPPCall,
        state: State,
        output: Float,
        unconditional: Float | None,
        noise: Float | None,  # noqa: ARG002
    ) -> State:
        change = c.change if state.history else 0.0
        guided = to_x0(self.prediction_type, state.x, output, c.alpha, c.sigma)
        if unconditional is None:  # no guidance: the output is both
            terms, x0 = [(c.x, state.x), (c.guided + c.unguided + change, guided)], guided
        else:
            x0 = to_x0(self.prediction_type, state.x, unconditional, c.alpha, c.sigma)
            terms = [(c.x, state.x), (c.guided, guided), (c.unguided + change, x0)]
        x = combined([*terms, *((-change, before) for before in state.history)])
        return state.advance(x, history=(x0,))


def _changes(ratios: F64) -> F64:
    """Return the weight of x0's last change at each call, f64[n]: (1 - exp(-h)) h / (2 h_last); 0 at the first, and at a step to no noise.

    h is the length of a step in -log ratio.
    """
    weights = np.zeros(len(ratios) - 1)
    for i in range(1, len(weights)):
        if ratios[i + 1] > 0 and ratios[i] < ratios[i - 1]:
            h, h_last = np.log(ratios[i] / ratios[i + 1]), np.log(ratios[i - 1] / ratios[i])
            weights[i] = -np.expm1(-h) * h / (2 * h_last)
    return weights

"""RES, the exponential multistep method of second order (Zhang et al. 2023, arXiv:2308.02157); diffusers has no such class.

ComfyUI's names for it are ``res_multistep`` and ``res_multistep_ancestral``. Without fresh noise the method is DPM-Solver++(2M) in its
``heun`` form.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.ancestral import ancestral_split, check_noise
from sdrt.schedulers.core.prediction import to_x0
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.grids.ratio import alpha_sigma
from sdrt.schedulers.one_step import one_call_plan
from sdrt.schedulers.ratio_sampler import EndedRatioSampler
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.weighted_sum import combined

__all__ = ["ResMultistep", "ResMultistepAncestral", "ResMultistepCall"]


@dataclass(frozen=True, kw_only=True)
class ResMultistepCall:
    """The numbers of one call: x' = x * sample + x0 * predicted x0 + change * (x0 - the one before) + noise * fresh noise."""

    alpha: float
    sigma: float
    x: float
    x0: float
    change: float
    noise: float


@dataclass(frozen=True, kw_only=True)
class ResMultistep(EndedRatioSampler):
    """x0 is extrapolated along the line through its last two values, in -log ratio, and the linear part of the flow is solved exactly."""

    name: ClassVar[str] = "ResMultistepScheduler"
    step_options: ClassVar[tuple[str, ...]] = ("eta", "s_noise")

    eta: float = 0.0  # how much of a step's variance is fresh
    s_noise: float = 1.0  # deviation of that noise

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(eta=self.eta, s_noise=self.s_noise)

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = self._stops(request, self.final_sigma)
        wide = ratios.astype(np.float64)
        alphas, sigmas = alpha_sigma(wide)
        down, up = ancestral_split(wide[:-1], wide[1:], self.eta)
        kept, change = down / wide[:-1], _changes(wide, down)
        columns = (
            alphas[:-1],
            sigmas[:-1],
            alphas[1:] * down / sigmas[:-1],
            alphas[1:] * (1 - kept),
            alphas[1:] * change,
            alphas[1:] * up * self.s_noise,
        )
        names = ("alpha", "sigma", "x", "x0", "change", "noise")
        calls = tuple(
            ResMultistepCall(**dict(zip(names, numbers, strict=True))) for numbers in zip(*(c.tolist() for c in columns), strict=True)
        )
        return one_call_plan(
            timesteps,
            alphas,
            sigmas,
            calls,
            draws=tuple((up > 0).tolist()),
            init_scale=first_scale(self.timestep_spacing, float(sigmas[0])),
        )

    def _advance(self, c: ResMultistepCall, state: State, output: Float, noise: Float | None) -> State:
        x0 = to_x0(self.prediction_type, state.x, output, c.alpha, c.sigma)
        change = c.change if state.history else 0.0
        terms = [(c.x, state.x), (c.x0 + change, x0), *((-change, before) for before in state.history)]
        x = combined(terms if noise is None else [*terms, (c.noise, noise)])
        return state.advance(x, history=(x0,))


@dataclass(frozen=True, kw_only=True)
class ResMultistepAncestral(ResMultistep):
    """The same to below the next stop, and fresh noise back up."""

    name: ClassVar[str] = "ResMultistepAncestralScheduler"

    eta: float = 1.0  # how much of a step's variance is fresh


def _changes(ratios: F64, down: F64) -> F64:
    """Return the weight of x0's last change at each call, f64[n]: h phi_2(-h) h / h_last, and 0 at the first.

    phi_2(z) = (phi_1(z) - 1) / z, and phi_1(z) = (exp(z) - 1) / z. h and h_last are the lengths of this step and the one before in -log
    ratio, as far down as they go before fresh noise is added. Counted between the stops instead, h_last gives a variance of order 1, not 2.
    """
    weights = np.zeros(len(down))
    for i in range(1, len(down)):
        if 0 < down[i] < ratios[i] < ratios[i - 1]:
            h, h_last = np.log(ratios[i] / down[i]), np.log(ratios[i - 1] / down[i - 1])
            weights[i] = (1 + np.expm1(-h) / h) * h / h_last
    return weights

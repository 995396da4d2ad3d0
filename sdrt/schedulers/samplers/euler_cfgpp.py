"""CFG++ with Euler steps (Chung et al. 2024, arXiv:2406.08070); diffusers has no such classes.

Guidance moves x0 alone: a step keeps the guided x0, and the noise that the network sees without the prompt. The guidance scale is then at
home between 0 and 1, where 1 is the conditional x0 itself. ComfyUI's names are ``euler_cfg_pp`` and ``euler_ancestral_cfg_pp``.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.ancestral import ancestral_split, check_noise
from sdrt.schedulers.core.prediction import eps_weights, x0_weights
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.grids.ratio import alpha_sigma
from sdrt.schedulers.one_step import one_call_plan
from sdrt.schedulers.ratio_sampler import EndedRatioSampler
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.weighted_sum import combined

__all__ = ["CFGPPCall", "EulerAncestralCFGPP", "EulerCFGPP"]


@dataclass(frozen=True, kw_only=True)
class CFGPPCall:
    """The numbers of one call: x' = x * sample + guided * output + unguided * unconditional output + noise * fresh noise."""

    x: float
    guided: float
    unguided: float
    noise: float


@dataclass(frozen=True, kw_only=True)
class EulerCFGPP(EndedRatioSampler):
    """Euler's step with another noise; without guidance it is Euler's own."""

    name: ClassVar[str] = "EulerCFGPPScheduler"
    step_options: ClassVar[tuple[str, ...]] = ("eta", "s_noise")
    needs_unconditional: ClassVar[bool] = True

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
        columns = (alphas[:-1], sigmas[:-1], alphas[1:], alphas[1:] * down, alphas[1:] * up * self.s_noise)
        calls = tuple(self._call(*numbers) for numbers in zip(*(column.tolist() for column in columns), strict=True))
        return one_call_plan(
            timesteps,
            alphas,
            sigmas,
            calls,
            draws=tuple((up > 0).tolist()),
            init_scale=first_scale(self.timestep_spacing, float(sigmas[0])),
        )

    def _call(self, alpha: float, sigma: float, alpha_next: float, direction: float, noise: float) -> CFGPPCall:
        x0_x, x0_output = x0_weights(self.prediction_type, alpha, sigma)
        eps_x, eps_output = eps_weights(self.prediction_type, alpha, sigma)
        return CFGPPCall(
            x=alpha_next * x0_x + direction * eps_x, guided=alpha_next * x0_output, unguided=direction * eps_output, noise=noise
        )

    def _advance(self, c: CFGPPCall, state: State, output: Float, noise: Float | None) -> State:
        return self._advance_guided(c, state, output, None, noise)

    def _advance_guided(self, c: CFGPPCall, state: State, output: Float, unconditional: Float | None, noise: Float | None) -> State:
        if unconditional is None:  # no guidance: the output is both
            terms = [(c.x, state.x), (c.guided + c.unguided, output)]
        else:
            terms = [(c.x, state.x), (c.guided, output), (c.unguided, unconditional)]
        return state.advance(combined(terms if noise is None else [*terms, (c.noise, noise)]))


@dataclass(frozen=True, kw_only=True)
class EulerAncestralCFGPP(EulerCFGPP):
    """The same to below the next stop, and fresh noise back up."""

    name: ClassVar[str] = "EulerAncestralCFGPPScheduler"

    eta: float = 1.0  # how much of a step's variance is fresh

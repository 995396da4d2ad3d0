"""DDIM: denoising diffusion implicit models (Song, Meng and Ermon 2020, arXiv:2010.02502), equations 12 and 16.

x' = sqrt(alpha_bar') * x0_hat + sqrt(1 - alpha_bar' - s**2) * eps_hat + s * z,
s  = eta * sqrt((1 - alpha_bar') / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar'))
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.timestep_table import TableLevels, TimestepGrid
from sdrt.schedulers.steps.bounded import advance_bounded, bounded_step
from sdrt.schedulers.steps.bounds import X0Bound
from sdrt.schedulers.steps.linear import LinearCall, LinearStep, Weights
from sdrt.values import Flag, Number

__all__ = ["DDIM"]


@dataclass(frozen=True, kw_only=True)
class DDIM(Sampler):
    """Hold the predicted x0 and noise direction fixed up to the next stop."""

    name: ClassVar[str] = "DDIMScheduler"
    step_options: ClassVar[tuple[str, ...]] = ("eta", "use_clipped_model_output")

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: TimestepGrid = group(TimestepGrid)
    bound: X0Bound = group(X0Bound, clip_sample=True)
    eta: float = option(0.0, Number(0, 1))  # 0: deterministic; 1: as much fresh noise as DDPM
    use_clipped_model_output: bool = option(False, Flag())  # whether the noise is recomputed from the bounded x0 (GLIDE)

    def _plan(self, request: Request) -> Plan:
        levels = self._levels(request)
        alpha_bar, alpha_bar_next = levels.alpha_bars, levels.ends
        # In the numerics' own type and diffusers' order: near 0 noise, rounding moves the variance by 1e-4.
        noises = np.sqrt((1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_next)) * self.eta
        # Where rounding makes the remainder negative, diffusers 0.42.1 gives NaN (eta 1 with zero terminal SNR).
        directions = np.sqrt(np.maximum(1 - alpha_bar_next - noises * noises, 0))
        steps = map(_step, np.sqrt(alpha_bar_next).tolist(), directions.tolist(), noises.tolist())
        calls = [step.fold(self.prediction_type, LinearCall(at=stop, step=step)) for stop, step in zip(levels.stops, steps, strict=True)]
        return levels.plan(calls, self.eta > 0)

    def _levels(self, request: Request) -> TableLevels:
        return self.grid.levels(request, self.prediction_type, self.bound)

    def _advance(self, c: Weights, state: State, output: Float, noise: Float | None) -> State:
        if self.bound and self.use_clipped_model_output:
            return state.advance(bounded_step(c, self.prediction_type, self.bound, state.x, output, noise, eps_of_bound=True))
        return advance_bounded(self, c, state, output, noise)


def _step(alpha_next: float, direction: float, noise: float) -> LinearStep:
    return LinearStep(x0=alpha_next, eps=direction, noise=noise)

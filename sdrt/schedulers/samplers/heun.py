"""Heun's method on the probability flow (Karras et al. 2022, arXiv:2206.00364, algorithm 1).

With r = sigma / alpha, in which the flow's slope is the noise that the network sees:

    x_euler / alpha' = x0_hat(x, r) + r' * eps_hat(x, r)
    x'      / alpha' = x / alpha + (r' - r) / 2 * (eps_hat(x, r) + eps_hat(x_euler, r'))
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import Prediction, to_x0
from sdrt.schedulers.core.run import Level, Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.ratio import RatioGrid
from sdrt.schedulers.steps.bounds import X0Bound
from sdrt.schedulers.steps.linear import LinearCall, LinearStep, Weights, linear_plan

__all__ = ["Heun", "heun_step"]


@dataclass(frozen=True, kw_only=True)
class Heun(Sampler):
    """An Euler step to the next stop, then the whole step again along the mean of both ends' slopes. The step to no noise is Euler's."""

    name: ClassVar[str] = "HeunDiscreteScheduler"
    calls_per_step: ClassVar[int] = 2

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: RatioGrid = group(
        RatioGrid,
        without=["final_sigmas_type", "rescale_betas_zero_snr"],
        choices={"beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2", "exp")},
        beta_start=0.00085,
        beta_end=0.012,
    )
    bound: X0Bound = group(X0Bound, without=["thresholding", "dynamic_thresholding_ratio", "sample_max_value"])

    def _plan(self, request: Request) -> Plan:
        levels = self.grid.levels(request)
        # A bounded x0 takes the output's place: see _advance.
        prediction: Prediction = "sample" if self.bound else self.prediction_type
        calls = [call for level, level_next in pairwise(levels.stops) for call in heun_step(level, level_next)]
        return linear_plan(prediction, calls, levels.stops[-1], self.grid.init_scale(levels.stops[0]))

    def _advance(self, c: Weights, state: State, output: Float, noise: Float | None) -> State:
        if self.bound:
            output = self.bound(to_x0(self.prediction_type, state.x, output, c.alpha, c.sigma))
        return super()._advance(c, state, output, noise)


def heun_step(level: Level, level_next: Level) -> tuple[LinearCall, ...]:
    """Return the calls of one step."""
    ratio_next, alpha_next = level_next.ratio, level_next.alpha
    euler = LinearCall(at=level, step=LinearStep(x0=1.0, eps=ratio_next, scale=alpha_next), ends=not ratio_next)
    if not ratio_next:
        return (euler,)
    half = alpha_next * (ratio_next - level.ratio) / 2
    return euler, LinearCall(at=level_next, start=level, step=LinearStep(start=alpha_next / level.alpha, start_eps=half, eps=half))

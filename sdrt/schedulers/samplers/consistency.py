"""Multistep sampling of consistency models (Song et al. 2023, arXiv:2303.01469, algorithm 1).

With x0_hat the end of the trajectory, which the network predicts at any level:

    x' = x0_hat + sqrt(sigma'**2 - sigma_min**2) * s_noise * z
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.run import Level, Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.consistency import ConsistencyGrid
from sdrt.schedulers.grids.edm import input_scales
from sdrt.schedulers.steps.linear import LinearStep, Weights, linear_combination, plan_of
from sdrt.values import Number

__all__ = ["ConsistencyModel"]


@dataclass(frozen=True, kw_only=True)
class ConsistencyModel(Sampler):
    """Each step goes to the predicted picture, and back to the next level with fresh noise.

    Noise is drawn at every step of a run of more than one, the last included, where its weight is 0.
    """

    name: ClassVar[str] = "CMStochasticIterativeScheduler"

    prediction_type: Literal["sample"] = "sample"
    grid: ConsistencyGrid = group(ConsistencyGrid)
    s_noise: float = setting(1.0, kind=Number(0))  # deviation of the fresh noise
    clip_denoised: bool = setting(True)  # to [-1, 1]: for models of pixels

    def _plan(self, request: Request) -> Plan:
        stops = self.grid.levels(request)
        steps = [self._step(level, level_next) for level, level_next in pairwise(stops)]
        plan = plan_of(stops, steps, self.grid.init_scale(stops[0]), draws=(request.n > 1,) * len(steps))
        return replace(plan, input_scale=input_scales(np.array([stop.sigma for stop in stops[:-1]]), self.grid.sigma_data, self.functions))

    def _step(self, level: Level, level_next: Level) -> Weights:
        """Return the step to the end of the trajectory, at sigma_min, and with noise to the next level."""
        lowest = self.grid.sigma_min
        back = min(max(level_next.sigma, lowest), self.grid.sigma_max)
        fresh = self.s_noise * math.sqrt(max(self.functions.square(back) - self.functions.square(lowest), 0.0))
        return LinearStep(x0=1.0, noise=fresh).fold_x0(*self.x0_weights(1.0, level.sigma), level)

    def _advance(self, c: Weights, state: State, output: Float, noise: Float | None) -> State:
        x = self._bounded(linear_combination((c.x, c.output), (state.x, output)))
        return state.advance(x if noise is None or not c.noise else x + noise * c.noise)

    def predicted_x0(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the end of the trajectory, within its bound."""
        return self._bounded(super().predicted_x0(x, output, alpha, sigma))

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        """Return (c_skip, c_out), by which the network is the identity at sigma_min (the paper, appendix C); alpha is 1 here."""
        del alpha
        above, sigma_data, square = sigma - self.grid.sigma_min, self.grid.sigma_data, self.functions.square
        c_skip = square(sigma_data) / (square(above) + square(sigma_data))
        return c_skip, above * sigma_data / math.sqrt(square(sigma) + square(sigma_data))

    def _bounded(self, x0: Float) -> Float:
        return np.clip(x0, -1, 1) if self.clip_denoised else x0

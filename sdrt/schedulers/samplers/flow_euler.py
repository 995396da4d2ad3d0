"""Euler's method on a rectified flow (Esser et al. 2024, arXiv:2403.03206): what Stable Diffusion 3 and FLUX are sampled with.

x' = x + (sigma' - sigma) * v_hat,    v_hat = eps_hat - x0_hat
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.flow import FlowGrid
from sdrt.schedulers.steps.linear import Weights, plan_of

__all__ = ["FlowEuler"]


@dataclass(frozen=True, kw_only=True)
class FlowEuler(Sampler):
    """The slope that the network sees is kept to the next level; or, with ``stochastic_sampling``, to x0 and back with fresh noise.

    Such noise is drawn at the last step too, where its weight is 0: the stream's position is part of the contract.
    """

    name: ClassVar[str] = "FlowMatchEulerDiscreteScheduler"

    prediction_type: Prediction = "flow_prediction"
    grid: FlowGrid = group(FlowGrid)
    stochastic_sampling: bool = setting(False)

    def _plan(self, request: Request) -> Plan:
        return self._lay_out(self.grid.levels(request))

    def _whole_plan(self) -> Plan:
        """Lay out a run through every trained noise level."""
        return self._lay_out(self.grid.trained_levels())

    def _lay_out(self, stops: tuple[Level, ...]) -> Plan:
        steps = [self._step(level, level_next) for level, level_next in pairwise(stops)]
        return plan_of(stops, steps, draws=(self.stochastic_sampling,) * len(steps))

    def _step(self, level: Level, level_next: Level) -> Weights:
        if self.stochastic_sampling:
            return self.grid.redraw(level, level_next)
        return Weights(x=1.0, output=self.grid.slope(level.sigma, level_next.sigma))

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        """Return (a, b) with x0 = a * x + b * output, at levels where alpha is 1 - sigma."""
        del alpha
        return self.grid.x0_weights(sigma)

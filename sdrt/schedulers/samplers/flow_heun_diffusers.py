"""What diffusers 0.42.1's FlowMatchHeunDiscreteScheduler does otherwise."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sdrt.schedulers.core.run import Level, Plan
from sdrt.schedulers.samplers.flow_heun import FlowHeun
from sdrt.schedulers.steps.linear import LinearCall, Weights, linear_plan

__all__ = ["DiffusersFlowHeun"]


@dataclass(frozen=True, kw_only=True)
class DiffusersFlowHeun(FlowHeun):
    """Late churn: a step's noise is added after the network was called.

    ``s_churn`` is divided by the number of calls; noise is added without taking signal away, which leaves the flow; the slope is scaled
    down with the level; and noise is drawn for the second call too, where it cancels out.
    """

    def _lay_out(self, stops: tuple[Level, ...]) -> Plan:
        gammas = self.churn.gammas(np.array([stop.sigma for stop in stops]), 2 * len(stops) - 3)
        steps = zip(pairwise(stops), gammas.tolist(), strict=True)
        calls = [call for (level, level_next), gamma in steps for call in self._late(level, level_next, gamma)]
        return linear_plan(self.prediction_type, calls, stops[-1], 1.0)

    def _late(self, level: Level, level_next: Level, gamma: float) -> Iterator[LinearCall]:
        """Return the calls of a step that raises its noise after the first of them."""
        raised = level.sigma * (1 + gamma)
        down, slope = level_next.sigma - raised, 1 / (1 + gamma)
        fresh = self.churn.s_noise * math.sqrt(self.functions.square(raised) - self.functions.square(level.sigma))
        first = Weights(x=1.0, output=down * slope, noise=fresh, ends=not level_next.sigma)
        yield LinearCall(at=level, step=first, draws=gamma > 0, ends=first.ends)
        if not first.ends:
            yield LinearCall(at=level_next, step=Weights(x=1.0, output=down / 2, stages=(-down / 2 * slope,)), draws=gamma > 0)

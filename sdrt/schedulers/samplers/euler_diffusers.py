"""Euler's method as diffusers 0.42.1 has it: churn comes late."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from sdrt.schedulers.core.prediction import x0_weights
from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.grids.ratio import levels_of
from sdrt.schedulers.samplers.euler import Euler
from sdrt.schedulers.steps.linear import LinearCall, Weights, linear_plan

__all__ = ["DiffusersEuler"]


@dataclass(frozen=True, kw_only=True)
class DiffusersEuler(Euler):
    """A step's noise is added after the network was called.

    The output then belongs to a sample of less noise than the one it moves, and takes none of the new noise away: for Gaussian data of
    deviation 0.7, 20 Karras steps with s_churn 10 end with a variance 44 % too large, where with noise before the call it is 29 % too
    small, as Euler's own steps make it.
    """

    def _plan(self, request: Request) -> Plan:
        levels = self.grid.levels(request)
        ratios = levels.ratios
        timesteps = self._network_timesteps(levels.timesteps, ratios, ratios)
        n = len(timesteps)  # of log_linear's n + 2 ratios, the last is never reached
        stops = levels_of([*timesteps.tolist(), 0.0], ratios[: n + 1].astype(np.float64))
        raised = self._raise(ratios)[:n]
        draws, fresh = (raised > ratios[:n]).tolist(), np.sqrt(raised * raised - ratios[:n] * ratios[:n]).tolist()
        ends = zip(pairwise(stops), raised.tolist(), fresh, draws, strict=True)
        if self.churn.s_churn:
            calls = [LinearCall(at=stop, step=self._late_step(stop, hat, z, end), draws=drawn) for (stop, end), hat, z, drawn in ends]
        else:
            calls = [LinearCall(at=stop, step=self._step(end, end.ratio)) for stop, end in pairwise(stops)]
        plan = linear_plan(self.prediction_type, calls, stops[-1], self.grid.init_scale(stops[0]))
        return replace(plan, unreached=tuple(ratios[n + 1 :].tolist()))

    def _late_step(self, level: Level, raised: float, fresh: float, level_next: Level) -> Weights:
        """Return the weights of a step that raises its noise to a ratio after the call, in diffusers' order.

        Of x / alpha and of the output, in x0; a noise prediction is taken to speak of the raised level.
        """
        a, b = x0_weights(self.prediction_type, level.alpha, level.sigma)
        of_x, of_output = (1.0, -raised) if self.prediction_type == "epsilon" else (a * level.alpha, b)
        growth = level_next.ratio / raised - 1
        kept = level_next.alpha * (1 + growth * (1 - of_x))
        return Weights(
            x=kept / level.alpha,
            output=-level_next.alpha * growth * of_output,
            noise=kept * (fresh * self.churn.s_noise),
            alpha=level.alpha,
            sigma=level.sigma,
        )

"""TCD: strategic stochastic sampling for trajectory consistency models (Zheng et al. 2024, arXiv:2402.19159, algorithm 4).

With s = (1 - eta) * t' below the next timestep t', and u = alpha_bar(t') / alpha_bar(s) the signal of s that is left there:

    x' = sqrt(u) * (sqrt(alpha_bar(s)) * x0_hat + sqrt(1 - alpha_bar(s)) * eps_hat) + sqrt(1 - u) * z
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.distilled import DistilledGrid
from sdrt.schedulers.grids.timestep_table import levels_between
from sdrt.schedulers.steps.bounded import advance_bounded
from sdrt.schedulers.steps.bounds import X0Bound
from sdrt.schedulers.steps.linear import LinearCall, LinearStep
from sdrt.values import Number

__all__ = ["TCD"]


@dataclass(frozen=True, kw_only=True)
class TCD(Sampler):
    """Each call goes down the trajectory to s, and fresh noise brings it back up to t'.

    The run ends at timestep 0, which still has the noise of the first trained timestep.
    """

    name: ClassVar[str] = "TCDScheduler"
    step_options: ClassVar[tuple[str, ...]] = ("eta", *DistilledGrid.step_options)

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: DistilledGrid = group(DistilledGrid)
    bound: X0Bound = group(X0Bound)
    timestep_scaling: float = setting(10.0, kind=Number(0))  # of LCM's boundary conditions; has no effect here
    eta: float = option(0.3, Number(0, 1))  # the paper's gamma; 0 is deterministic

    def with_options(self, **options: Any) -> Self:
        """Return this sampler with other values of its :attr:`step_options`.

        As in diffusers, passing ``original_inference_steps`` spreads the run over all trained timesteps, and that number is the most steps
        it can have.
        """
        if options.get("original_inference_steps") is not None:
            options = {"every_timestep": True, **options}
        return super().with_options(**options)

    @property
    def max_inference_steps(self) -> int:
        """The most steps that a run can be spread over."""
        return self.grid.max_inference_steps

    def image_plan(
        self, num_inference_steps: int, strength: float, *, mu: float | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[Plan, int]:
        """Lay out a run over the share ``strength`` of the distillation's timesteps; it visits all of them, from call 0 on."""
        return replace(self, grid=replace(self.grid, strength=strength)).plan(num_inference_steps, mu=mu, limits=limits), 0

    _advance = advance_bounded

    def _plan(self, request: Request) -> Plan:
        timesteps = self.grid.timesteps(request)
        draws = self.grid.draws(request, len(timesteps))
        after = np.append(timesteps[1:], 0)
        low = self._alpha_bar_below(after)
        table = self.grid.alpha_bar().astype(low.dtype)
        levels = levels_between(timesteps, table[timesteps], table[after], self.prediction_type)
        up = np.where(draws, levels.ends / low, low.dtype.type(1))
        numbers = (np.sqrt(up) * np.sqrt(low), np.sqrt(up) * np.sqrt(1 - low), np.sqrt(1 - up))
        steps = [LinearStep(x0=x0, eps=eps, noise=noise) for x0, eps, noise in zip(*(column.tolist() for column in numbers), strict=True)]
        calls = [step.fold(self.prediction_type, LinearCall(at=stop, step=step)) for stop, step in zip(levels.stops, steps, strict=True)]
        return levels.plan(calls, draws if self.eta else False)

    def _alpha_bar_below(self, timesteps: Array) -> Float:
        """Return alpha_bar at s for each next timestep, f[n] of the numerics' own type."""
        real = real_type(self.numerics)
        below = np.floor(real(1 - self.eta) * timesteps.astype(real)).astype(np.int64)
        powers: Float = self.grid.alpha_bar()[below].astype(real)
        return powers

"""LCM: multistep sampling from a latent consistency model (Luo et al. 2023, arXiv:2310.04378, algorithm 3).

x' = sqrt(alpha_bar') * (c_skip * x + c_out * x0_hat) + sqrt(1 - alpha_bar') * z
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.prediction import x0_weights
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.distilled import DistilledGrid
from sdrt.schedulers.grids.timestep_table import levels_between
from sdrt.schedulers.steps.bounded import advance_bounded
from sdrt.schedulers.steps.bounds import X0Bound
from sdrt.schedulers.steps.linear import LinearStep
from sdrt.values import Number

__all__ = ["LCM"]

_SIGMA_DATA = 0.5  # deviation of the data in the boundary conditions of Song et al. 2023 (arXiv:2303.01469), equation 25


@dataclass(frozen=True, kw_only=True)
class LCM(Sampler):
    """Each call jumps to a clean sample; fresh noise brings it back up to the next timestep."""

    name: ClassVar[str] = "LCMScheduler"
    step_options: ClassVar[tuple[str, ...]] = ("original_inference_steps", "strength")

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: DistilledGrid = group(DistilledGrid)
    bound: X0Bound = group(X0Bound)
    timestep_scaling: float = setting(10.0, kind=Number(0))  # of the boundary conditions

    @property
    def max_inference_steps(self) -> int:
        """The most steps that a run can be spread over: the timesteps of the distillation within ``strength``."""
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
        real = real_type(self.numerics)
        alpha_bar = self.grid.alpha_bar()[timesteps].astype(real)
        # A last step that draws, as diffusers makes one, ends where it began.
        alpha_bar_next = np.append(alpha_bar[1:], alpha_bar[-1] if draws[-1] else real(1))
        levels = levels_between(timesteps, alpha_bar, alpha_bar_next, self.prediction_type, self.bound)
        c_skip, c_out = self._boundary(timesteps.astype(real))
        numbers = (np.sqrt(alpha_bar_next) * c_out, np.sqrt(alpha_bar_next) * c_skip, np.sqrt(1 - alpha_bar_next))
        steps = [LinearStep(x0=x0, x=x, noise=noise) for x0, x, noise in zip(*(column.tolist() for column in numbers), strict=True)]
        calls = [
            step.fold_x0(*x0_weights(self.prediction_type, stop.alpha, stop.sigma), stop)
            for stop, step in zip(levels.stops, steps, strict=True)
        ]
        return levels.plan(calls, draws)

    def _boundary(self, timesteps: Array) -> tuple[Float, Float]:
        """Return the weights (c_skip, c_out) that make the consistency function the identity at timestep 0."""
        scaled = timesteps * timesteps.dtype.type(self.timestep_scaling)
        total = scaled * scaled + _SIGMA_DATA * _SIGMA_DATA
        return _SIGMA_DATA * _SIGMA_DATA / total, scaled / np.sqrt(total)

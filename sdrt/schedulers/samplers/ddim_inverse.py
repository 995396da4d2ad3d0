"""DDIM run backwards, from a picture to the noise that DDIM would turn into it (Song, Meng and Ermon 2020, section 4.3).

x' = sqrt(alpha_bar') * x0_hat + sqrt(1 - alpha_bar') * eps_hat,    with the network asked about the noisier end
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.timestep_table import TimestepGrid, levels_between
from sdrt.schedulers.steps.bounded import advance_bounded
from sdrt.schedulers.steps.bounds import X0Bound
from sdrt.schedulers.steps.linear import LinearCall, LinearStep

__all__ = ["DDIMInverse"]


@dataclass(frozen=True, kw_only=True)
class DDIMInverse(Sampler):
    """Each step starts at the end of the previous one, and calls the network with the timestep at which it will end."""

    name: ClassVar[str] = "DDIMInverseScheduler"
    inverse: ClassVar[bool] = True

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    # set_alpha_to_one: whether the picture has no noise at all, or that of the first trained timestep
    grid: TimestepGrid = group(TimestepGrid, former={"set_alpha_to_zero": "set_alpha_to_one"})
    bound: X0Bound = group(X0Bound, without=["thresholding", "dynamic_thresholding_ratio", "sample_max_value"], clip_sample=True)

    _advance = advance_bounded

    def _plan(self, request: Request) -> Plan:
        timesteps = self._rising(request)
        ends = self.grid.alpha_bar_at_calls(timesteps)
        levels = levels_between(timesteps, self._starts(timesteps, request), ends, "sample")
        if self.prediction_type == "sample" and levels.sigmas.min() == 0:
            raise ConfigError(
                "set_alpha_to_one must be false for a network that predicts x0, got true; no noise follows from x0 at a stop without any"
            )
        steps = [LinearStep(x0=x0, eps=eps) for x0, eps in zip(np.sqrt(ends).tolist(), np.sqrt(1 - ends).tolist(), strict=True)]
        return levels.plan(
            step.fold(self.prediction_type, LinearCall(at=stop, step=step)) for stop, step in zip(levels.stops, steps, strict=True)
        )

    def _rising(self, request: Request) -> Array:
        """Return the timesteps from clean to noisy, i64[n]."""
        if request.timesteps is None:
            return self.grid.timesteps(request)[::-1]
        timesteps = np.round(request.timesteps).astype(np.int64)
        last = self.num_train_timesteps - 1
        if timesteps[-1] > last or np.any(np.diff(timesteps) <= 0):
            raise ConfigError(
                f"timesteps must lie in [0, {last}] and rise, got {timesteps.min()} to {timesteps.max()}; sort them from clean to noisy"
            )
        return timesteps

    def _starts(self, timesteps: Array, request: Request) -> Float:  # noqa: ARG002
        """Return alpha_bar where each step starts: f[n]."""
        return self.grid.alpha_bar_at(np.append(-1, timesteps[:-1]))

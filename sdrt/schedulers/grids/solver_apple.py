"""The stops of DPM-Solver++ as Apple's Swift package ml-stable-diffusion 1.1.1 has them.

It differs from diffusers in where the network is called (fractions of one half are rounded away from 0, ``leading`` divides 999 and not
1000), in where its last step leads (always to the first trained timestep), and in Karras runs of 45 steps and more, where it looks levels
up by their rounded timesteps and so finds the first of two.

Source: apple/ml-stable-diffusion@e12202c, ``DPMSolverMultistepScheduler.swift``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64, float_dtype
from sdrt.errors import ConfigError
from sdrt.exact.sequences import interp
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.ratio import ratio_to_timestep, schedule_ratios
from sdrt.schedulers.grids.solver import SolverGrid, SolverLevels

__all__ = ["AppleSolverGrid"]


@dataclass(frozen=True, kw_only=True)
class AppleSolverGrid(SolverGrid):
    """Stops of linspace and leading spacing, and of Karras sigmas."""

    def levels(self, request: Request) -> SolverLevels:
        """Choose the stops of a run of so many steps.

        Raises
        ------
        ConfigError : timesteps of the caller's, which Apple's scheduler does not take
        """
        if request.timesteps is not None:
            raise ConfigError("num_inference_steps must be set with compat apple, got timesteps; pass it, or leave compat out")
        trained = schedule_ratios(self.schedule, self.numerics)
        if self.sigma_spacing.kind == "karras":
            spread = self.sigma_spacing.spread(float(trained[-1]), float(trained[0]), request.n, self.functions)
            timesteps = _half_up(ratio_to_timestep(spread, trained, self.functions))
            ratios = np.array([spread[np.argmax(timesteps == t)] for t in timesteps])
        else:
            timesteps = _evenly(self.spacing.kind, len(trained), request.n)
            ratios = interp(timesteps, np.arange(len(trained)), trained)
        # 1e-6 of the ratios is lost here: its cumulative product runs in float32, and this one in float64 rounded to float32.
        sigmas = np.append(ratios, trained[0]).astype(float_dtype(self.numerics))
        return SolverLevels(timesteps=timesteps, sigmas=sigmas, is_flow=False, functions=self.functions)


def _evenly(spacing: str, num_train_timesteps: int, n: int) -> npt.NDArray[np.int64]:
    last = num_train_timesteps - 1
    if spacing == "leading":
        return 1 + np.arange(n, 0, -1) * (last // (n + 1))
    # Its linspace multiplies in float32, which moves further halves (n = 14, 26, 28).
    return _half_up((np.arange(n, 0, -1, dtype=np.float32) * (np.float32(last) / np.float32(n))).astype(np.float64))


def _half_up(timesteps: F64) -> npt.NDArray[np.int64]:
    """Round to whole numbers, half away from 0."""
    return np.floor(timesteps + 0.5).astype(np.int64)

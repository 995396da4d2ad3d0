"""DPM-Solver++ as Apple's Swift package ml-stable-diffusion 1.1.1 has it, for those who compare pictures with it.

It differs from diffusers in where the network is called (fractions of one half are rounded away from 0, ``leading`` divides 999 and not
1000), in where a run ends (always at the first trained timestep), in the order of the last steps of short runs, and in Karras runs of 45
steps and more, where it looks levels up by their rounded timesteps and so finds the first of two. A difference over two such stops is 0 / 0
in its formulas; here the order is lowered there.

Source: apple/ml-stable-diffusion@e12202c, ``DPMSolverMultistepScheduler.swift``.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.ratio import interpolated, ratio_to_timestep, training_ratios
from sdrt.schedulers.solver_stops import SolverStops

if TYPE_CHECKING:
    from sdrt.schedulers.samplers.dpmsolver_multistep import DPMSolverMultistep

__all__ = ["apple_order", "apple_stops", "check_apple"]

_FEW_STEPS = 15


def check_apple(sampler: "DPMSolverMultistep") -> None:
    """Raise ConfigError for a setting that Apple's scheduler does not have."""
    kind, spacing = sampler.sigma_spacing.kind, sampler.timestep_spacing
    has = (
        (sampler.solver_order, sampler.algorithm_type, sampler.solver_type) == (2, "dpmsolver++", "midpoint")
        and (kind == "karras" or (kind == "interpolated" and spacing in ("linspace", "leading")))
        and sampler.prediction_type == "epsilon"
        and not (sampler.flow.use_flow_sigmas or sampler.bound or sampler.doubled_output)
    )
    if not has:
        raise ConfigError(
            "compat apple is for dpmsolver++ of order 2, midpoint, over noise predictions, with linspace or leading spacing or karras "
            f"sigmas; got {sampler.algorithm_type} of order {sampler.solver_order}, {sampler.solver_type}, {sampler.prediction_type}, "
            f"{spacing}, {kind}; leave compat out"
        )


def apple_stops(sampler: "DPMSolverMultistep", request: Request) -> SolverStops:
    """Choose the stops of a run of so many steps.

    Raises
    ------
    ConfigError : timesteps of the caller's, which Apple's scheduler does not take
    """
    if request.timesteps is not None:
        raise ConfigError("compat apple takes a number of steps, got timesteps; leave compat out, or pass num_inference_steps")
    training = training_ratios(sampler.alpha_bar(), real_type(sampler.numerics))
    if sampler.sigma_spacing.kind == "karras":
        ratios = sampler.sigma_spacing.spread(float(training[-1]), float(training[0]), request.n)
        timesteps = _half_up(ratio_to_timestep(ratios, training))
        levels = np.array([ratios[np.argmax(timesteps == t)] for t in timesteps])
    else:
        timesteps = _evenly(sampler.timestep_spacing, len(training), request.n)
        levels = interpolated(training, timesteps.astype(np.float64))
    # 1e-6 of the ratios is lost here: its cumulative product runs in float32, and this one in float64 rounded to float32.
    return SolverStops(timesteps=timesteps, levels=np.append(levels, training[0]).astype(training.dtype), flow=False)


def _evenly(spacing: str, num_train_timesteps: int, n: int) -> npt.NDArray[np.int64]:
    last = num_train_timesteps - 1
    if spacing == "leading":
        return 1 + np.arange(n, 0, -1) * (last // (n + 1))
    # Its linspace multiplies in float32, which moves further halves (n = 14, 26, 28).
    return _half_up((np.arange(n, 0, -1, dtype=np.float32) * (np.float32(last) / np.float32(n))).astype(np.float64))


def _half_up(timesteps: F64) -> npt.NDArray[np.int64]:
    """Round to whole numbers, half away from 0."""
    return np.floor(timesteps + 0.5).astype(np.int64)


def apple_order(i: int, n: int) -> int:
    """Return the order of call i, given enough history: the first in the last two steps of a short run, where diffusers has it in one."""
    return 1 if i >= n - 2 and n < _FEW_STEPS else 2

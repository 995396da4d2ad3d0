"""What the classes of diffusers show otherwise than a plan holds it, by class name."""

from collections.abc import Callable

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.schedulers.core.run import Plan
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.grids.sigmas import SIGMA_FLAGS

__all__ = ["SHARES_BEGIN_INDEX", "VARIANCE_EXPLODING", "shown_sigmas", "shown_timesteps"]

# Classes whose samples are x / alpha: those that diffusers took from k-diffusion, and sdrt's own in their manner.
# fmt: off
VARIANCE_EXPLODING = frozenset((
    "DPMPP2MCFGPPScheduler", "DPMPP2SAncestralScheduler", "DPMSolverSDEScheduler", "EulerAncestralCFGPPScheduler",
    "EulerAncestralDiscreteScheduler", "EulerCFGPPScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LMSDiscreteScheduler", "ResMultistepAncestralScheduler",
    "ResMultistepScheduler", "RestartScheduler",
))

# Classes that, once a begin index is set, add noise for the place of the run, and not for the timesteps that they are passed.
SHARES_BEGIN_INDEX = frozenset((
    "CMStochasticIterativeScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler", "EDMDPMSolverMultistepScheduler", "EDMEulerScheduler", "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler", "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LMSDiscreteScheduler", "UniPCMultistepScheduler",
))
# fmt: on

# Classes that leave fractional timesteps in float64; the others have them in float32.
_FLOAT64_TIMESTEPS = frozenset({"CMStochasticIterativeScheduler", "DPMSolverSDEScheduler"})
_MIDPOINTS = frozenset({"KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler"})


def shown_sigmas(sampler: Sampler, plan: Plan) -> Float:
    """Return what this sampler's class of diffusers calls ``sigmas``: f[calls + 1], and one more where it never reaches the last.

    The ratio of noise to signal at each stop; of flows the share of noise, or of signal where levels are inverted.
    """
    if (repeats := _REPEATS.get(sampler.name)) is not None:
        return repeats(_ratios(plan)[[*plan.starts, -1]])
    config = sampler.config
    if sampler.name.startswith("FlowMatch") or config.get("use_flow_sigmas"):
        return plan.alphas if config.get("invert_sigmas") else plan.sigmas
    return np.append(_ratios(plan), plan.unreached)


def shown_timesteps(sampler: Sampler, plan: Plan) -> Array:
    """Return what this sampler's class of diffusers calls ``timesteps``: whole ones are int64, fractional ones float32 or float64."""
    if plan.timesteps.dtype == np.int64 or sampler.name in _FLOAT64_TIMESTEPS:
        return plan.timesteps
    formula = sampler.name in _MIDPOINTS and any(sampler.config.get(flag) for flag in SIGMA_FLAGS.values())
    return plan.timesteps.astype(np.float64 if formula else np.float32)


def _ratios(plan: Plan) -> Float:
    with np.errstate(divide="ignore"):
        ratios: Float = plan.sigmas / plan.alphas
    return ratios


# Classes that list the ratios of steps, without those of their midpoints: each but the first twice, and the last once or twice.
_REPEATS: dict[str, Callable[[Float], Float]] = {
    "DPMSolverSDEScheduler": lambda ratios: np.concatenate([ratios[:1], np.repeat(ratios[1:-1], 2), ratios[-1:]]),
    "KDPM2AncestralDiscreteScheduler": lambda ratios: np.concatenate([ratios[:1], np.repeat(ratios[1:], 2), ratios[-1:]]),
    "KDPM2DiscreteScheduler": lambda ratios: np.concatenate([ratios[:1], np.repeat(ratios[1:], 2), ratios[-1:]]),
}

"""The start of a run: noise alone, or latents with the amount of noise of a later call."""

from dataclasses import dataclass

from sdrt.arrays import Float
from sdrt.pipeline.keep import Keep, keep_nothing
from sdrt.schedulers import Plan, Sampler

__all__ = ["Start", "from_latents", "from_noise"]


@dataclass(frozen=True, eq=False)
class Start:
    """The first sample of a run, and the part to restore after each call.

    Parameters
    ----------
    latents : float[n,C,h,w]
        The sample at call ``at``; its dtype is that of the run.
    at : int
        The first call, which must begin a step.
    keep : Keep
        Called after every call.
    """

    latents: Float
    at: int = 0
    keep: Keep = keep_nothing


def from_noise(plan: Plan, noise: Float, keep: Keep = keep_nothing) -> Start:
    """Start at the first call with noise alone: float[n,C,h,w], standard normal."""
    return Start(noise * plan.init_scale, keep=keep)


def from_latents(sampler: Sampler, plan: Plan, at: int, clean: Float, noise: Float, keep: Keep = keep_nothing) -> Start:
    """Start at call ``at`` with latents and the noise of that stop.

    Parameters
    ----------
    sampler : Sampler
    plan : Plan
    at : int
        One of ``plan.starts``.
    clean, noise : float[n,C,h,w]
        Latents of pictures, encoded or passed by the caller, whose dtype the run has; and standard normal noise.
    keep : Keep
    """
    return Start(sampler.add_noise(plan, clean, noise, at), at, keep)

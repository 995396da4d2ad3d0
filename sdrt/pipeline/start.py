"""The start of a run: noise alone, or latents with the amount of noise of a later call.

The order of draws begins here: each image's stream yields the noise of the start before any of the sampler's.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sdrt.arrays import Float
from sdrt.pipeline.noise import RunNoise
from sdrt.schedulers import Plan, Sampler, State

__all__ = ["Keep", "Start", "from_latents", "from_noise", "keep_nothing"]


class Keep(Protocol):
    """Restore part of an input picture after each call: in-painting with a U-Net that sees no mask."""

    def __call__(self, plan: Plan, state: State, /) -> State:
        """Restore the kept part.

        Parameters
        ----------
        plan : Plan
        state : State
            The state after a call: the sample is at stop ``state.position``, and a step is complete if that is one of ``plan.starts`` or
            ``plan.num_calls``.

        Returns
        -------
        State; ``state`` itself if nothing is restored
        """


def keep_nothing(_plan: Plan, state: State, /) -> State:
    """Return the state as it is."""
    return state


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


def from_noise(draws: RunNoise, plan: Plan, shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> Start:
    """Start at the first call with noise alone: one sample of ``shape`` (C, h, w) per image."""
    return Start(draws.latents(shape).astype(dtype, copy=False) * plan.init_scale)


def from_latents(draws: RunNoise, sampler: Sampler, plan: Plan, at: int, clean: Float) -> Start:
    """Start at call ``at`` with latents and the noise of that stop.

    Parameters
    ----------
    at : int
        One of ``plan.starts``.
    clean : float[n,C,h,w]
        Latents of pictures, encoded or passed by the caller; the run has their dtype.
    """
    return Start(sampler.add_noise(plan, clean, draws.latents(clean.shape[1:]), at), at)

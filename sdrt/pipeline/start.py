"""Where a run starts: from noise alone, or from latents with as much noise as belongs to a later call.

Who draws first is decided here: of each image's stream, the noise of the start comes before all that a sampler asks for.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sdrt.arrays import Float
from sdrt.pipeline.noise import RunNoise
from sdrt.schedulers import Plan, Sampler, State

__all__ = ["Keep", "Start", "from_latents", "from_noise", "keep_nothing"]


class Keep(Protocol):
    """What of a given picture is put back while a run goes on: in-painting with a U-Net that sees no mask."""

    def __call__(self, plan: Plan, state: State, /) -> State:
        """Put back what is kept.

        Parameters
        ----------
        plan : Plan
        state : State
            After a call: the sample stands at stop ``state.position``, and a step is over where that is one of ``plan.starts`` or
            ``plan.num_calls``.

        Returns
        -------
        State, ``state`` itself where nothing is put back
        """


def keep_nothing(_plan: Plan, state: State, /) -> State:
    """Return the state as it is."""
    return state


@dataclass(frozen=True, eq=False)
class Start:
    """Where a run starts.

    Parameters
    ----------
    latents : float[n,C,h,w]
        The sample at call ``at``; its dtype is that of the run.
    at : int
        A call that begins a step.
    keep : Keep
        Called after every call.
    """

    latents: Float
    at: int = 0
    keep: Keep = keep_nothing


def from_noise(draws: RunNoise, plan: Plan, shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> Start:
    """Start at the first call with noise alone, one sample of ``shape`` (C, h, w) an image."""
    return Start(draws.latents(shape).astype(dtype, copy=False) * plan.init_scale)


def from_latents(draws: RunNoise, sampler: Sampler, plan: Plan, at: int, clean: Float) -> Start:
    """Start at call ``at`` with latents and the noise that belongs there.

    Parameters
    ----------
    at : int
        One of ``plan.starts``.
    clean : float[n,C,h,w]
        Latents of pictures, encoded or a caller's own; their dtype is that of the run.
    """
    return Start(sampler.add_noise(plan, clean, draws.latents(clean.shape[1:]), at), at)

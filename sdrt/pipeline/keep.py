"""Keep a part of a picture during a run: in-painting with a U-Net that sees no mask.

After each call, what is kept gets back the picture's own latents, with the noise of the stop that the sample has reached.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers import Plan, Sampler, State

__all__ = ["Keep", "KeepByStrength", "KeepShare", "KeptPicture", "keep_nothing"]


class Keep(Protocol):
    """Restore part of an input picture after each call."""

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
class KeptPicture:
    """The latents of a picture along a run.

    Parameters
    ----------
    sampler : Sampler
    clean : float[n,C,h,w]
    noise : float[n,C,h,w]
        The noise that the run starts with.
    mask : float[1 or n,1,h,w] in [0, 1]
        0 is kept, 1 drawn anew.
    """

    sampler: Sampler
    clean: Float
    noise: Float
    mask: Float

    def at(self, plan: Plan, position: int) -> Float:
        """Return the latents as they look at a stop; at the last one without noise, as diffusers leaves them."""
        return self.clean if position == plan.num_calls else self.sampler.add_noise(plan, self.clean, self.noise, position)

    def mix(self, plan: Plan, state: State, redrawn: Float) -> State:
        """Return the state with this share of its sample, and the picture's latents for the rest."""
        share = redrawn.astype(state.x.dtype, copy=False)
        return replace(state, x=self.at(plan, state.position) * (1 - share) + state.x * share)


@dataclass(frozen=True, eq=False)
class KeepShare:
    """Mix the sample and the picture in the mask's proportion after each call.

    Source: diffusers 0.42.1 ``StableDiffusionInpaintPipeline`` for a U-Net of 4 channels, whose mask is binary.
    """

    picture: KeptPicture

    def __call__(self, plan: Plan, state: State, /) -> State:
        return self.picture.mix(plan, state, self.picture.mask)


@dataclass(frozen=True, eq=False)
class KeepByStrength:
    """Keep each cell until no more of the run is left than the mask's share: grey is a strength.

    Parameters
    ----------
    picture : KeptPicture
    begins : int
        The first call of the run.

    Source: Levin and Fried 2023 (arXiv:2306.00950), algorithm 1; diffusers 0.42.1
    ``examples/community/pipeline_stable_diffusion_xl_differential_img2img.py``.
    """

    picture: KeptPicture
    begins: int

    def __call__(self, plan: Plan, state: State, /) -> State:
        mask = self.picture.mask
        done = (state.position - self.begins) / (plan.num_calls - self.begins)
        # a black cell is kept at the end too, when every other one is free
        kept = (1 - mask > done) | (mask <= 0)
        return self.picture.mix(plan, state, np.where(kept, 0.0, 1.0))

"""Classifier-free guidance: extrapolate from the prediction without the prompt through the one with it.

Source: Ho and Salimans 2022 (arXiv:2207.12598), equation 6, with guidance_scale = 1 + w.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sdrt.arrays import Array, Float
from sdrt.errors import ArrayContractError
from sdrt.guidance.base import SCALE, Call, Guided, check_predictions, split_rows
from sdrt.guidance.rows import Row

__all__ = ["ClassifierFreeGuidance", "guide", "is_guided"]


@dataclass(frozen=True)
class ClassifierFreeGuidance:
    """Compute uncond + scale * (cond - uncond).

    Parameters
    ----------
    scale : float
        1 gives the prediction with the prompt, 0 the one without.
    """

    rows: ClassVar[tuple[Row, ...]] = ("negative", "prompt")
    unet_inputs: ClassVar[Mapping[str, Array]] = {}

    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", SCALE.check("guidance_scale", self.scale))

    def __call__(self, predictions: Float, _call: Call, /) -> Guided:
        """Extrapolate from the unconditional prediction through the conditional one."""
        split = split_rows(predictions, self.rows)
        return Guided(guide(split["negative"], split["prompt"], self.scale))


def is_guided(guidance_scale: float) -> bool:
    """Return whether a scale needs the unconditional rows at all.

    At 1 the unconditional prediction cancels out, and below 1 diffusers uses the conditional one alone: one row per image is enough.

    >>> is_guided(7.5), is_guided(1.0), is_guided(0.0)
    (True, False, False)
    """
    return SCALE.check("guidance_scale", guidance_scale) > 1


def guide(uncond: Float, cond: Float, guidance_scale: float) -> Float:
    """Extrapolate from ``uncond`` through ``cond``, arrays of one shape and dtype, into a new array.

    >>> import numpy as np
    >>> guide(np.array([1.0]), np.array([3.0]), 2.0)
    array([5.])
    """
    if check_predictions(cond).shape != check_predictions(uncond).shape:
        raise ArrayContractError(f"uncond and cond must be of one shape, got {list(uncond.shape)} and {list(cond.shape)}; pass such arrays")
    guided: Float = cond - uncond
    guided *= SCALE.check("guidance_scale", guidance_scale)
    guided += uncond
    return guided

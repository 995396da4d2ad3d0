"""Adaptive projected guidance (APG): leave out the part of guidance that only makes a picture more saturated.

Classifier-free guidance moves the denoised sample of the prompt, D, further along its difference d to the one without the prompt. APG first
tames that difference, image by image:

    d <- d + momentum * (d of the call before)      a running sum; momentum < 0 pushes away from where earlier calls went
    d <- d * min(1, norm_threshold / |d|)           no longer than a radius
    d <- d - (1 - eta) * (d . D) / (D . D) * D      less of the part along D, which saturates
    D' = D + (guidance_scale - 1) * d

Source: Sadat et al. 2024 (arXiv:2410.02416), sections 4 and 5, algorithm 1, on denoised samples as there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.errors import ArrayContractError
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.guidance.base import SCALE, Call, Guided, check_call, check_predictions, split_rows
from sdrt.guidance.rows import Row
from sdrt.guidance_options import APG

__all__ = ["ProjectedGuidance", "project", "running_difference"]


@dataclass(frozen=True)
class ProjectedGuidance:
    """Guide along the projected difference of the denoised samples.

    Parameters
    ----------
    scale : float
        As of classifier-free guidance, which eta 1 without threshold and momentum gives.
    apg : APG
    functions : Functions
        That norms and products are computed with.
    """

    rows: ClassVar[tuple[Row, ...]] = ("negative", "prompt")
    unet_inputs: ClassVar[Mapping[str, Array]] = {}

    scale: float
    apg: APG
    functions: Functions = PLATFORM

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", SCALE.check("guidance_scale", self.scale))

    def __call__(self, predictions: Float, call: Call, /) -> Guided:
        """Guide, and hand on the running difference."""
        split = split_rows(predictions, self.rows)
        cond, weight = split["prompt"], check_call(call).x0_weights[1]
        difference = running_difference((cond - split["negative"]) * weight, self.apg.momentum, call)
        change = project(difference, call.denoised(cond), self.apg, self.functions)
        return Guided(cond + change * ((self.scale - 1) / weight), memory=difference if self.apg.momentum else None)


def running_difference(difference: Float, momentum: float, call: Call) -> Float:
    """Add the share of the differences before it.

    Raises
    ------
    ArrayContractError : what the call before handed on has another shape
    """
    memory = check_call(call).memory
    if memory is None or not momentum:
        return difference
    if np.shape(memory) != difference.shape:
        raise ArrayContractError(
            f"call.memory must have the shape of a prediction, {list(difference.shape)}, got {list(np.shape(memory))}; "
            "pass what the same run's guidance returned"
        )
    summed: Float = difference + memory * momentum
    return summed


def project(difference: Float, cond: Float, apg: APG, functions: Functions = PLATFORM) -> Float:
    """Limit the length of a difference, and take away its part along ``cond``, image by image.

    Parameters
    ----------
    difference, cond : float[n,...]
        Of one shape; sums are in float64.
    """
    if check_predictions(difference).shape != check_predictions(cond).shape:
        shapes = f"{list(difference.shape)} and {list(cond.shape)}"
        raise ArrayContractError(f"difference and cond must be of one shape, got {shapes}; pass such arrays")
    long, along = (each.reshape(len(each), -1).astype(np.float64) for each in (difference, cond))
    if apg.norm_threshold:
        norms = np.sqrt(functions.sum(long * long, 1, keepdims=True))
        long *= apg.norm_threshold / np.maximum(norms, apg.norm_threshold)
    squares = functions.sum(along * along, 1, keepdims=True)
    shares = functions.sum(long * along, 1, keepdims=True) / np.where(squares > 0, squares, 1.0)
    long -= along * (shares * (1 - apg.eta))
    return long.reshape(difference.shape).astype(difference.dtype)

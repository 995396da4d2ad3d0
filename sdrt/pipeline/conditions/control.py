"""ControlNets: networks that read a picture (edges, a pose, depth) and add residuals inside the U-Net.

Source: Zhang et al. 2023 (arXiv:2302.05543); diffusers 0.42.1 ``StableDiffusionControlNetPipeline``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F32, Array, Float
from sdrt.backends.pool import CheckedNetwork
from sdrt.guidance import Call
from sdrt.pipeline.conditions.control_weights import BALANCED, ControlWeights

__all__ = ["BoundControlNet", "Control", "ControlSettings", "residuals"]


@dataclass(frozen=True, kw_only=True)
class ControlSettings:
    """The strength of one ControlNet, the part of the run in which it acts, and the rows and depths at which it does."""

    conditioning_scale: float = 1.0
    weights: ControlWeights = BALANCED
    guidance_start: float = 0.0  # fraction of the run at which it begins to act
    guidance_end: float = 1.0  # fraction at which it stops

    def acts(self, call: Call) -> bool:
        """Return whether the ControlNet acts in this call."""
        start, end = call.index / call.num_calls, (call.index + 1) / call.num_calls
        return self.guidance_start <= start and end <= self.guidance_end


@dataclass(frozen=True, eq=False)
class Control:
    """What one ControlNet follows, and how.

    Parameters
    ----------
    picture : f32[1 or n,3,H,W] in [0, 1], and -1 where a picture is in-painted
        For all images of the call, or for each; for a union of k pictures f32[1 or n,k,3,H,W].
    settings : ControlSettings
    sorts : tuple of k int
        What the pictures of a union show; empty for another ControlNet.
    scales : tuple of k float
        How a union weighs its pictures.
    """

    picture: F32
    settings: ControlSettings
    sorts: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()

    def inputs(self, images: Sequence[int], dtype: np.dtype[np.floating]) -> dict[str, Array]:
        """Return the ControlNet's own inputs for a batch of these images of the call."""
        chosen = {"controlnet_cond": self.picture[[image % len(self.picture) for image in images]].astype(dtype, copy=False)}
        if not self.sorts:
            return chosen
        return chosen | {
            "control_type": np.tile(np.array(self.sorts, np.int32), (len(images), 1)),
            "control_scale": np.tile(np.array(self.scales, dtype), (len(images), 1)),
        }


@dataclass(frozen=True, eq=False)
class BoundControlNet:
    """One ControlNet, its picture and texts bound for the samples at ``places`` of a batch; None: for all."""

    network: CheckedNetwork
    settings: ControlSettings
    places: slice | list[int] | None = None


def residuals(controlnets: Sequence[BoundControlNet], call: Call, **inputs: Array) -> dict[str, Float]:
    """Run every ControlNet that acts in this call, and add up their residuals; empty if none acts."""
    total: dict[str, Float] = {}
    for controlnet in controlnets:
        if not controlnet.settings.acts(call):
            continue
        places, scale = controlnet.places, controlnet.settings.conditioning_scale
        outputs = controlnet.network(**(inputs if places is None else {name: value[places] for name, value in inputs.items()}))
        names = controlnet.network.signature.output_names()
        for name, weight in zip(names, controlnet.settings.weights.by_depth(len(names)), strict=True):
            scaled: Float = outputs[name] * (scale * weight)
            if places is not None:
                scaled = _at(places, scaled, len(inputs["sample"]))
            total[name] = total[name] + scaled if name in total else scaled
    return total


def _at(places: slice | list[int], values: Float, count: int) -> Float:
    """Return values in their places among ``count`` rows, zeros in the others."""
    spread = np.zeros((count, *values.shape[1:]), values.dtype)
    spread[places] = values
    return spread

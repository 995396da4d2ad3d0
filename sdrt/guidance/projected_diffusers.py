"""Adaptive projected guidance as diffusers' guider computes it: on predictions as they are, and from the one without the prompt on.

The paper's algorithm works on denoised samples and starts from the one with the prompt, so the two differ wherever something is projected:
the guider adds the whole difference once more, and its radius and its direction are those of the predicted noise.

Source: diffusers 0.42.1 ``guiders/adaptive_projected_guidance.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sdrt.arrays import Array, Float
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.guidance.base import SCALE, Call, Guided, split_rows
from sdrt.guidance.projected import project, running_difference
from sdrt.guidance.rows import Row
from sdrt.guidance_options import APG

__all__ = ["DiffusersProjectedGuidance"]


@dataclass(frozen=True)
class DiffusersProjectedGuidance:
    """Guide along the projected difference of the predictions.

    Parameters
    ----------
    scale : float
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
        uncond, cond = split["negative"], split["prompt"]
        difference = running_difference(cond - uncond, self.apg.momentum, call)
        change = project(difference, cond, self.apg, self.functions)
        return Guided(uncond + change * self.scale, memory=difference if self.apg.momentum else None)

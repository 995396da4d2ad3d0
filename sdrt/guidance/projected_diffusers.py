"""Adaptive projected guidance as diffusers' guider computes it: on predictions as they are, and from the one without the prompt on.

The paper's algorithm works on denoised samples and starts from the one with the prompt, so the two differ wherever something is projected:
the guider adds the whole difference once more, and its radius and its direction are those of the predicted noise.

Source: diffusers 0.42.1 ``guiders/adaptive_projected_guidance.py``.
"""

from dataclasses import dataclass

from sdrt.arrays import Float
from sdrt.guidance.base import Call, Guided, split_rows
from sdrt.guidance.projected import ProjectedGuidance, project, running_difference

__all__ = ["DiffusersProjectedGuidance"]


@dataclass(frozen=True)
class DiffusersProjectedGuidance(ProjectedGuidance):
    """Guide along the projected difference of the predictions; its parameters are those of `ProjectedGuidance`."""

    def __call__(self, predictions: Float, call: Call, /) -> Guided:
        """Guide, and hand on the running difference."""
        split = split_rows(predictions, self.rows)
        uncond, cond = split["negative"], split["prompt"]
        difference = running_difference(cond - uncond, self.apg.momentum, call)
        change = project(difference, cond, self.apg, self.functions)
        return Guided(uncond + change * self.scale, memory=difference if self.apg.momentum else None)

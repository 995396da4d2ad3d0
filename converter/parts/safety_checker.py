"""The safety checker, with the decisions that follow from its scores.

Source: ``StableDiffusionSafetyChecker`` of diffusers 0.42.1: a concept of special care lowers the threshold of all others by 0.01. Scores
are not rounded to three digits as in diffusers; apple/ml-stable-diffusion does not round them either.
"""

import torch
from torch import nn

from converter.interface import Tensor, fixed
from converter.options import Precision
from converter.parts.traceable import TraceablePart
from converter.sizes import Sizes
from converter.source import Source

__all__ = ["build"]

_SPECIAL_CARE = 0.01


class _SafetyChecker(nn.Module):
    def __init__(self, checker: nn.Module) -> None:
        super().__init__()
        self.checker = checker

    def forward(self, clip_input: torch.Tensor, images: torch.Tensor, adjustment: torch.Tensor) -> tuple[torch.Tensor, ...]:
        concepts, special = self.checker(clip_input)
        careful = ((special + adjustment) > 0).any(dim=1, keepdim=True).to(concepts.dtype)
        scores = concepts + _SPECIAL_CARE * careful
        flagged = (scores > 0).any(dim=1)[:, None, None, None]
        return torch.where(flagged, torch.zeros_like(images), images), flagged.to(images.dtype), scores


def build(source: Source, sizes: Sizes, precision: Precision) -> TraceablePart:
    """Build the checker in float32, for images of the first size."""
    (height, width), *_ = sizes.pictures
    vision = source.config("safety_checker")["vision_config"]
    side, channels = vision["image_size"], vision["num_channels"]
    return TraceablePart(
        role="safety_checker",
        module=_SafetyChecker(source.adapter("safety_checker")).eval(),
        inputs=(
            fixed("clip_input", (1, channels, side, side), "float16", f"The picture at {side}x{side}, normalised as CLIP expects"),
            fixed("images", (1, height, width, channels), "float16", "The picture itself, channels last, values from 0 to 1"),
            fixed(
                "adjustment", (1,), "float16", "Added to the scores of special care: above 0 is stricter, below 0 laxer, 0 is as trained"
            ),
        ),
        outputs=(
            Tensor(name="filtered_images", text="The picture as it came, or zeros if it is flagged"),
            Tensor(name="has_nsfw_concepts", text="1 if any concept scores above 0, else 0"),
            Tensor(name="concept_scores", text="Similarity to each concept less its threshold"),
        ),
        precision=precision,
    )

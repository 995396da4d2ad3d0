"""The safety checker."""

from typing import Any

import torch
from torch import nn

from sdrt.backends.torch.adapter import Adapter

__all__ = ["SafetyChecker"]


class SafetyChecker(Adapter):
    """StableDiffusionSafetyChecker's tower and its two tables, without what diffusers then does to the scores."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, clip_input: torch.Tensor) -> tuple[torch.Tensor, ...]:
        module: Any = self.module
        picture = nn.functional.normalize(module.visual_projection(module.vision_model(clip_input)[1]))
        concepts = picture @ nn.functional.normalize(module.concept_embeds).T - module.concept_embeds_weights
        special = picture @ nn.functional.normalize(module.special_care_embeds).T - module.special_care_embeds_weights
        return concepts, special

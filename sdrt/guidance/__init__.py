"""Guidance: which rows a denoiser predicts, and how they combine into one prediction. One method a file, over ``base``."""

from sdrt.guidance.base import Call, Guidance, Guided, split_rows
from sdrt.guidance.cfg_plus_plus import CFGPlusPlusGuidance
from sdrt.guidance.choice import choose_guidance
from sdrt.guidance.classifier_free import ClassifierFreeGuidance, guide, is_guided
from sdrt.guidance.embedded import EmbeddedGuidance, guidance_embedding
from sdrt.guidance.rescaled import RescaledGuidance, rescale
from sdrt.guidance.rows import Row, is_prompted, prompt_row, text_row, text_rows
from sdrt.guidance.unguided import Unguided

__all__ = [
    "CFGPlusPlusGuidance",
    "Call",
    "ClassifierFreeGuidance",
    "EmbeddedGuidance",
    "Guidance",
    "Guided",
    "RescaledGuidance",
    "Row",
    "Unguided",
    "choose_guidance",
    "guidance_embedding",
    "guide",
    "is_guided",
    "is_prompted",
    "prompt_row",
    "rescale",
    "split_rows",
    "text_row",
    "text_rows",
]

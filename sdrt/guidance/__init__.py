"""Guidance: which rows a denoiser predicts, and how they combine into one prediction. One method a file, over ``base``."""

from sdrt.guidance.base import Call, Guidance, Guided, split_rows
from sdrt.guidance.cfg_plus_plus import CFGPlusPlusGuidance
from sdrt.guidance.choice import choose_guidance
from sdrt.guidance.classifier_free import ClassifierFreeGuidance, guide, is_guided
from sdrt.guidance.composed import ComposedGuidance, ComposedPrompt, compose
from sdrt.guidance.embedded import EmbeddedGuidance, guidance_embedding
from sdrt.guidance.perturbed import PerturbedGuidance
from sdrt.guidance.projected import ProjectedGuidance, project
from sdrt.guidance.projected_diffusers import DiffusersProjectedGuidance
from sdrt.guidance.rescaled import RescaledGuidance, rescale
from sdrt.guidance.rows import Row, is_prompted, prompt_row, text_row, text_rows
from sdrt.guidance.scheduled import GuidanceSchedule, ScheduledGuidance, scheduled_scales
from sdrt.guidance.thresholded import ThresholdedGuidance, threshold
from sdrt.guidance.unguided import Unguided
from sdrt.guidance_options import APG, DynamicThresholding

__all__ = [
    "APG",
    "CFGPlusPlusGuidance",
    "Call",
    "ClassifierFreeGuidance",
    "ComposedGuidance",
    "ComposedPrompt",
    "DiffusersProjectedGuidance",
    "DynamicThresholding",
    "EmbeddedGuidance",
    "Guidance",
    "GuidanceSchedule",
    "Guided",
    "PerturbedGuidance",
    "ProjectedGuidance",
    "RescaledGuidance",
    "Row",
    "ScheduledGuidance",
    "ThresholdedGuidance",
    "Unguided",
    "choose_guidance",
    "compose",
    "guidance_embedding",
    "guide",
    "is_guided",
    "is_prompted",
    "project",
    "prompt_row",
    "rescale",
    "scheduled_scales",
    "split_rows",
    "text_row",
    "text_rows",
    "threshold",
]

"""Stable Diffusion XL's refiner: the second text encoder alone, and an aesthetic score instead of the target size."""

from collections.abc import Sequence
from dataclasses import dataclass

from sdrt.arrays import F64
from sdrt.models.base import Model
from sdrt.models.components.clip_text import pooled_width
from sdrt.models.components.text_time import REFINER_NUMBERS, has_text_time, number_count
from sdrt.models.families.base import TextEncoder
from sdrt.models.families.micro_conditions import MicroConditions
from sdrt.models.families.release import EXCLAMATION_MARK, CheckpointEncoder, Release
from sdrt.models.families.stable_diffusion_xl import XL_SCHEDULER, StableDiffusionXL

__all__ = ["SDXL_REFINER", "STABLE_DIFFUSION_XL_REFINER", "StableDiffusionXLRefiner"]


@dataclass(frozen=True)
class StableDiffusionXLRefiner(StableDiffusionXL):
    """Models that take over from the base model near the end of a run."""

    name: str = "Stable Diffusion XL's refiner"
    text_encoders: tuple[TextEncoder, ...] = (TextEncoder("text_encoder_2", "penultimate_hidden_state"),)
    numbers: int = REFINER_NUMBERS

    def recognises(self, model: Model) -> bool:
        """Return whether the U-Net takes as many numbers about sizes as a refiner."""
        if "text_encoder_2" not in model.components or not has_text_time(unet := model.config(self.denoiser)):
            return False
        return number_count(unet, pooled_width(model.config("text_encoder_2"))) == self.numbers

    def time_ids(self, micro: MicroConditions, rows: Sequence[str]) -> F64:
        """Return the numbers about sizes, with an aesthetic score last: f64[r,5]."""
        return micro.refiner_time_ids(rows)


STABLE_DIFFUSION_XL_REFINER = StableDiffusionXLRefiner()

SDXL_REFINER = Release(
    name="Stable Diffusion XL's refiner",
    family=STABLE_DIFFUSION_XL_REFINER,
    encoders=(CheckpointEncoder("text_encoder_2", "conditioner.embedders.0.model.", "open_clip", EXCLAMATION_MARK),),
    scheduler=XL_SCHEDULER,
    scaling_factor=0.13025,
    sample_size=128,
)

"""Stable Diffusion 1.x and 2.x, their in-painting models, and latent consistency models of them.

Source: Rombach et al. 2022 (arXiv:2112.10752).
"""

from dataclasses import dataclass

from sdrt.models.base import Model
from sdrt.models.components.text_time import has_text_time
from sdrt.models.families.base import TextEncoder
from sdrt.models.families.latent_space import SD_LATENTS, LatentSpace
from sdrt.models.families.release import END_OF_TEXT, EXCLAMATION_MARK, NOISE_SCHEDULE, CheckpointEncoder, Release
from sdrt.models.families.unet import UNetFamily

__all__ = ["SD1", "SD2", "STABLE_DIFFUSION", "StableDiffusion"]


@dataclass(frozen=True)
class StableDiffusion(UNetFamily):
    """Models with one text encoder, and no condition besides its states."""

    name: str = "Stable Diffusion 1.x and 2.x"
    text_encoders: tuple[TextEncoder, ...] = (TextEncoder("text_encoder", "last_hidden_state"),)
    latents: LatentSpace | None = SD_LATENTS

    def recognises(self, model: Model) -> bool:
        """Return whether the U-Net takes no condition besides states."""
        return not has_text_time(model.config(self.denoiser))


STABLE_DIFFUSION = StableDiffusion()

SD1 = Release(
    name="Stable Diffusion 1.x",
    family=STABLE_DIFFUSION,
    encoders=(CheckpointEncoder("text_encoder", "cond_stage_model.transformer.", "clip", END_OF_TEXT),),
    scheduler={"_class_name": "PNDMScheduler", **NOISE_SCHEDULE, "skip_prk_steps": True, "prediction_type": "epsilon"},
    scaling_factor=0.18215,
    sample_size=64,
)
# Trained on the states before the 24th layer, with v-prediction at 768 pixels; the base model and in-painting predict the noise.
SD2 = Release(
    name="Stable Diffusion 2.x",
    family=STABLE_DIFFUSION,
    encoders=(CheckpointEncoder("text_encoder", "cond_stage_model.model.", "open_clip", EXCLAMATION_MARK, 23),),
    scheduler={"_class_name": "DDIMScheduler", **NOISE_SCHEDULE, "prediction_type": "v_prediction"},
    scaling_factor=0.18215,
    sample_size=96,
    upcast_attention=True,
)

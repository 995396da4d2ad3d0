"""Stable Diffusion XL: two text encoders side by side, the pooled state of the second, and sizes.

Source: Podell et al. 2023 (arXiv:2307.01952); diffusers 0.42.1 ``StableDiffusionXLPipeline.encode_prompt``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdrt.arrays import F64, Float
from sdrt.errors import ConfigError
from sdrt.models.base import Model, PipelineFlags
from sdrt.models.components.text_time import BASE_NUMBERS, has_text_time, number_count
from sdrt.models.families.base import EncodedText, TextEncoder
from sdrt.models.families.latent_space import XL_LATENTS, LatentSpace
from sdrt.models.families.micro_conditions import MicroConditions
from sdrt.models.families.release import END_OF_TEXT, EXCLAMATION_MARK, NOISE_SCHEDULE, CheckpointEncoder, Release
from sdrt.models.families.unet import UNetFamily, zero_rows

__all__ = ["SDXL", "STABLE_DIFFUSION_XL", "XL_SCHEDULER", "StableDiffusionXL"]


@dataclass(frozen=True)
class StableDiffusionXL(UNetFamily):
    """Models trained on the states before the last layer, without the final norm.

    Parameters
    ----------
    numbers : int
        How many numbers about sizes follow the pooled text.
    """

    name: str = "Stable Diffusion XL"
    text_encoders: tuple[TextEncoder, ...] = (
        TextEncoder("text_encoder", "penultimate_hidden_state"),
        TextEncoder("text_encoder_2", "penultimate_hidden_state"),
    )
    takes_sizes: bool = True
    latents: LatentSpace | None = XL_LATENTS
    numbers: int = BASE_NUMBERS

    def recognises(self, model: Model) -> bool:
        """Return whether the U-Net takes a pooled text and sizes; a refiner's does too."""
        return has_text_time(model.config(self.denoiser))

    def conditions(
        self,
        config: Mapping[str, Any],
        texts: Sequence[EncodedText],
        micro: MicroConditions,
        rows: Sequence[str],
        zeroed: Collection[str] = (),
    ) -> dict[str, Float]:
        """Concatenate the states, and add the last encoder's pooled state and the sizes.

        Raises
        ------
        ConfigError : the width of the pooled text does not fit the denoiser
        """
        pooled = texts[-1].pooled
        if number_count(config, pooled.shape[1]) != self.numbers:
            joint, each = config["projection_class_embeddings_input_dim"], config["addition_time_embed_dim"]
            raise ConfigError(
                f"the pooled text must be {joint - self.numbers * each} wide for this unet ({joint} minus {self.numbers} times {each}), "
                f"got {pooled.shape[1]}; take the text encoder of the same model"
            )
        return {
            **super().conditions(config, texts, micro, rows, zeroed),
            "text_embeds": zero_rows(pooled, rows, zeroed),
            "time_ids": self.time_ids(micro, rows),
        }

    def time_ids(self, micro: MicroConditions, rows: Sequence[str]) -> F64:
        """Return the numbers about sizes: f64[r,numbers]."""
        return micro.base_time_ids(rows)


STABLE_DIFFUSION_XL = StableDiffusionXL()

XL_SCHEDULER: Mapping[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    **NOISE_SCHEDULE,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "interpolation_type": "linear",
    "use_karras_sigmas": False,
}

SDXL = Release(
    name="Stable Diffusion XL",
    family=STABLE_DIFFUSION_XL,
    encoders=(
        CheckpointEncoder("text_encoder", "conditioner.embedders.0.transformer.", "clip", END_OF_TEXT),
        CheckpointEncoder("text_encoder_2", "conditioner.embedders.1.model.", "open_clip", EXCLAMATION_MARK),
    ),
    scheduler=XL_SCHEDULER,
    scaling_factor=0.13025,
    sample_size=128,
    flags=PipelineFlags(force_zeros_for_empty_prompt=True),
)

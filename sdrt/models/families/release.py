"""What was published with a line of models and stands in no tensor of theirs: for checkpoints in one file, and packages that come alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sdrt.models.base import PipelineFlags
from sdrt.models.families.base import Family

__all__ = ["END_OF_TEXT", "EXCLAMATION_MARK", "NOISE_SCHEDULE", "CheckpointEncoder", "Release"]

# What pads a prompt in CLIP's vocabulary: OpenAI's tokenizer and open_clip's.
END_OF_TEXT, EXCLAMATION_MARK = "<|endoftext|>", "!"

# What every published scheduler_config.json of Stable Diffusion has in common.
NOISE_SCHEDULE: Mapping[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


@dataclass(frozen=True)
class CheckpointEncoder:
    """A text encoder in a checkpoint with the key names of the original code.

    Parameters
    ----------
    component : "text_encoder" or "text_encoder_2"
    prefix : str
        Of its tensors.
    writer : "clip" or "open_clip"
        Whose names it has.
    pad_token : str
        Of its tokenizer, whose vocabulary is CLIP's.
    max_layers : int or None
        Of open_clip: the layers that the model was trained on, where those are not all.
    """

    component: Literal["text_encoder", "text_encoder_2"]
    prefix: str
    writer: Literal["clip", "open_clip"]
    pad_token: str
    max_layers: int | None = None


@dataclass(frozen=True, kw_only=True)
class Release:
    """A line of models as it was published.

    Parameters
    ----------
    name : str
    family : Family
    encoders : tuple of CheckpointEncoder
    scheduler : mapping
        diffusers' configuration, its ``prediction_type`` included.
    scaling_factor : float
        Of the latents.
    sample_size : int
        Height and width of the latents that it was trained on; 2.x has 64 where it predicts the noise.
    flags : PipelineFlags
    upcast_attention : bool
        Whether attention scores leave float16's range: a backend that computes in it has to widen them.
    """

    name: str
    family: Family
    encoders: tuple[CheckpointEncoder, ...]
    scheduler: Mapping[str, Any]
    scaling_factor: float
    sample_size: int
    flags: PipelineFlags = field(default_factory=PipelineFlags)
    upcast_attention: bool = False

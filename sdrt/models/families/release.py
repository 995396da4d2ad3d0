"""Published facts about a line of models that its tensors do not hold: for single-file checkpoints, and Core ML packages on their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sdrt.models.base import PipelineFlags
from sdrt.models.families.base import Family

__all__ = ["END_OF_TEXT", "EXCLAMATION_MARK", "NOISE_SCHEDULE", "CheckpointEncoder", "Release"]

# The padding token in CLIP's vocabulary: that of OpenAI's tokenizer, and that of open_clip's.
END_OF_TEXT, EXCLAMATION_MARK = "<|endoftext|>", "!"

# The common part of every published scheduler_config.json of Stable Diffusion.
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
        The prefix of its tensors.
    writer : "clip" or "open_clip"
        The code whose tensor names it has.
    pad_token : str
        The padding token of its tokenizer, whose vocabulary is CLIP's.
    max_layers : int or None
        For open_clip: the number of layers that the model was trained on, if not all.
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
        The scaling factor of the latents.
    sample_size : int
        Height and width of the latents in training; 64 for those models of 2.x that predict the noise.
    flags : PipelineFlags
    upcast_attention : bool
        Whether attention scores exceed float16's range, so that a backend in float16 must widen them.
    """

    name: str
    family: Family
    encoders: tuple[CheckpointEncoder, ...]
    scheduler: Mapping[str, Any]
    scaling_factor: float
    sample_size: int
    flags: PipelineFlags = field(default_factory=PipelineFlags)
    upcast_attention: bool = False

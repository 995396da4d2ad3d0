"""The families of Stable Diffusion, told apart by the names in a checkpoint, and what no tensor of theirs says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sdrt.errors import ModelError
from sdrt.models.base import PipelineFlags
from sdrt.models.components import COMPONENTS

__all__ = ["CONTROLNET", "UNET", "VAE", "Encoder", "Family", "find_family"]

# Where the components stand in a checkpoint.
UNET, VAE, CONTROLNET = (COMPONENTS[name].prefix or "" for name in ("unet", "vae_decoder", "controlnet"))

_EOS, _EXCLAMATION = "<|endoftext|>", "!"

# What every scheduler of Stable Diffusion's has in common (the published models' scheduler_config.json).
_NOISE = {
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
class Encoder:
    """A text encoder in a checkpoint.

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
class Family:
    """What models of one family share.

    Parameters
    ----------
    name : str
    encoders : tuple of Encoder
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
    encoders: tuple[Encoder, ...]
    scheduler: Mapping[str, Any]
    scaling_factor: float
    sample_size: int
    flags: PipelineFlags
    upcast_attention: bool = False

    @property
    def is_xl(self) -> bool:
        """Whether its U-Net takes sizes beside the text."""
        return any(encoder.component == "text_encoder_2" for encoder in self.encoders)


_SD1 = Family(
    name="Stable Diffusion 1.x",
    encoders=(Encoder("text_encoder", "cond_stage_model.transformer.", "clip", _EOS),),
    scheduler={"_class_name": "PNDMScheduler", **_NOISE, "skip_prk_steps": True, "prediction_type": "epsilon"},
    scaling_factor=0.18215,
    sample_size=64,
    flags=PipelineFlags(requires_safety_checker=True),
)
# Trained on the states before the 24th layer, with v-prediction at 768 pixels; the base model and in-painting predict the noise.
_SD2 = Family(
    name="Stable Diffusion 2.x",
    encoders=(Encoder("text_encoder", "cond_stage_model.model.", "open_clip", _EXCLAMATION, 23),),
    scheduler={"_class_name": "DDIMScheduler", **_NOISE, "prediction_type": "v_prediction"},
    scaling_factor=0.18215,
    sample_size=96,
    flags=PipelineFlags(),
    upcast_attention=True,
)
_XL_SCHEDULER = {
    "_class_name": "EulerDiscreteScheduler",
    **_NOISE,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "interpolation_type": "linear",
    "use_karras_sigmas": False,
}
_XL = Family(
    name="Stable Diffusion XL",
    encoders=(
        Encoder("text_encoder", "conditioner.embedders.0.transformer.", "clip", _EOS),
        Encoder("text_encoder_2", "conditioner.embedders.1.model.", "open_clip", _EXCLAMATION),
    ),
    scheduler=_XL_SCHEDULER,
    scaling_factor=0.13025,
    sample_size=128,
    flags=PipelineFlags(force_zeros_for_empty_prompt=True),
)
_XL_REFINER = Family(
    name="Stable Diffusion XL's refiner",
    encoders=(Encoder("text_encoder_2", "conditioner.embedders.0.model.", "open_clip", _EXCLAMATION),),
    scheduler=_XL_SCHEDULER,
    scaling_factor=0.13025,
    sample_size=128,
    flags=PipelineFlags(requires_aesthetics_score=True),
)
_FAMILIES = (_SD1, _SD2, _XL, _XL_REFINER)

_PLAYGROUND_MARK = "edm_mean"
# How checkpoints of other kinds are told: component of a name, and what to say. The first that fits is said.
_OTHERS = (
    ("double_blocks.0.", "a Flux model"),
    ("joint_blocks.0.", "a Stable Diffusion 3 model"),
    ("clip_txt_mapper.", "a Stable Cascade model"),
    (_PLAYGROUND_MARK, "a Playground 2.5 model, whose noise schedule is another"),
    ("motion_modules.", "an AnimateDiff model"),
    ("lora_", "a LoRA, which changes a model and is none"),
    (".lora_A.", "a LoRA, which changes a model and is none"),
    ("emb_params", "a textual inversion: pass it as an embedding"),
    ("zero_convs.0.", "a ControlNet, not a whole model: pass it as one"),
    ("controlnet_cond_embedding.", "a ControlNet, not a whole model: pass it as one"),
    ("down_blocks.0.", "one component with diffusers' names: pass the folder that has its config.json, or the model's"),
)


def find_family(file: Path, names: Iterable[str]) -> Family:
    """The family of a checkpoint.

    Parameters
    ----------
    file : Path
        For messages.
    names : iterable of str
        Of its tensors.

    Raises
    ------
    ModelError : no family of Stable Diffusion, named where it is known; or one whose text encoder is missing
    """
    names = list(names)

    def has(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in names)

    complete = has(f"{UNET}input_blocks.0.0.")
    family = next((each for each in _FAMILIES if complete and all(has(encoder.prefix) for encoder in each.encoders)), None)
    if family and _PLAYGROUND_MARK not in names:
        return family
    kinds = "Stable Diffusion 1.x, 2.x and XL"
    if other := next((text for mark, text in _OTHERS if any(mark in name for name in names)), None):
        raise ModelError(f"{file}: is {other}; as a single file sdrt opens whole checkpoints of {kinds}")
    lacks = "text encoder (cond_stage_model., conditioner.)" if complete else f"U-Net ({UNET})"
    raise ModelError(f"{file}: has no {lacks} by the names of {kinds}; pass a whole checkpoint, or a model folder")

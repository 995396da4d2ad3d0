"""Whose checkpoint a file is, by the names in it."""

from collections.abc import Iterable
from pathlib import Path

from sdrt.errors import ModelError
from sdrt.models.components import COMPONENTS
from sdrt.models.families import RELEASES, Release

__all__ = ["CHECKPOINT_ROOTS", "CONTROLNET", "UNET", "VAE", "find_release"]

# Where the components stand in a checkpoint.
UNET, VAE, CONTROLNET = (COMPONENTS[name].prefix or "" for name in ("unet", "vae_decoder", "controlnet"))

# How the names in a checkpoint begin.
CHECKPOINT_ROOTS = (UNET, VAE, CONTROLNET, "cond_stage_model.", "conditioner.")

_EDM_MARKS = {"edm_mean": "a Playground 2.5 model", "edm_vpred.sigma_max": "a CosXL model"}
# Checkpoints of other kinds: a part of a tensor's name, and the message. The first match is reported.
_OTHERS = (
    ("double_blocks.0.", "a Flux model"),
    ("joint_blocks.0.", "a Stable Diffusion 3 model"),
    ("clip_txt_mapper.", "a Stable Cascade model"),
    *((mark, f"{kind}, whose noise schedule is another") for mark, kind in _EDM_MARKS.items()),
    ("motion_modules.", "an AnimateDiff model"),
    ("lora_", "a LoRA, which changes a model and is none"),
    (".lora_A.", "a LoRA, which changes a model and is none"),
    ("emb_params", "a textual inversion: pass it as an embedding"),
    ("zero_convs.0.", "a ControlNet, not a whole model: pass it as one"),
    ("controlnet_cond_embedding.", "a ControlNet, not a whole model: pass it as one"),
    ("body.0.block1.", "a T2I-Adapter, not a whole model: pass it as one"),
    ("body.0.body.0.block1.", "a T2I-Adapter, not a whole model: pass it as one"),
    ("adapter.body.0.resnets.0.block1.", "a T2I-Adapter, not a whole model: pass it as one"),
    ("down_blocks.0.", "one component with diffusers' names: pass the folder that has its config.json, or the model's"),
)


def find_release(file: Path, names: Iterable[str]) -> Release:
    """Find the release that a checkpoint is of.

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
    release = next((each for each in RELEASES if complete and all(has(encoder.prefix) for encoder in each.encoders)), None)
    if release and _EDM_MARKS.keys().isdisjoint(names):
        return release
    kinds = "Stable Diffusion 1.x, 2.x and XL"
    if other := next((text for mark, text in _OTHERS if any(mark in name for name in names)), None):
        raise ModelError(f"{file}: is {other}; as a single file sdrt opens whole checkpoints of {kinds}")
    lacks = "text encoder (cond_stage_model., conditioner.)" if complete else f"U-Net ({UNET})"
    raise ModelError(f"{file}: has no {lacks} by the names of {kinds}; pass a whole checkpoint, or a model folder")

"""One checkpoint of each family: random and narrow, or as wide as the published ones and hollow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sdrt.models import ComponentName
from tests.factories import randomise
from tests.models.original_names import Tensors, original_clip, original_open_clip, original_unet, original_vae

Family: TypeAlias = Literal["sd1", "inpaint", "sd2", "sdxl", "refiner"]
FAMILIES: tuple[Family, ...] = ("sd1", "inpaint", "sd2", "sdxl", "refiner")

# The published models' own config.json files, what differs from diffusers' defaults: stable-diffusion-v1-5, stable-diffusion-inpainting,
# stable-diffusion-2-1, stable-diffusion-xl-base-1.0, stable-diffusion-xl-refiner-1.0.
_SD1_UNET: Mapping[str, Any] = {"cross_attention_dim": 768, "sample_size": 64}
UNETS: Mapping[Family, Mapping[str, Any]] = {
    "sd1": _SD1_UNET,
    "inpaint": {**_SD1_UNET, "in_channels": 9},
    "sd2": {
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
        "upcast_attention": True,
        "sample_size": 96,
    },
    "sdxl": {
        "block_out_channels": [320, 640, 1280],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2, 10],
        "cross_attention_dim": 2048,
        "attention_head_dim": [5, 10, 20],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
        "sample_size": 128,
    },
    "refiner": {
        "block_out_channels": [384, 768, 1536, 1536],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": 4,
        "cross_attention_dim": 1280,
        "attention_head_dim": [6, 12, 24, 24],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2560,
        "sample_size": 128,
    },
}
VAE: Mapping[str, Any] = {
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
CONTROLNET: Mapping[str, Any] = {"cross_attention_dim": 768}

_CLIP_L: Mapping[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
}
_CLIP_H: Mapping[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
_CLIP_G: Mapping[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
ENCODERS: Mapping[Family, Mapping[ComponentName, Mapping[str, Any]]] = {
    "sd1": {"text_encoder": _CLIP_L},
    "inpaint": {"text_encoder": _CLIP_L},
    "sd2": {"text_encoder": _CLIP_H},
    "sdxl": {"text_encoder": _CLIP_L, "text_encoder_2": _CLIP_G},
    "refiner": {"text_encoder_2": _CLIP_G},
}

# What makes a published configuration narrow: levels, depths and kinds stay as they are. Heads keep their 64 channels.
_NARROW_WIDTHS = {3: [32, 64, 128], 4: [32, 64, 128, 128]}
_NARROW_TEXT = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 1}


def narrow_unet(family: Family) -> dict[str, Any]:
    config = dict(UNETS[family])
    widths = _NARROW_WIDTHS[len(config.get("block_out_channels", [0] * 4))]
    config |= {"block_out_channels": widths, "cross_attention_dim": 128 if family == "sdxl" else 64}
    if "use_linear_projection" in config:
        config["attention_head_dim"] = [max(width // 64, 1) for width in widths]
    if family == "sdxl":
        config |= {"transformer_layers_per_block": [1, 2, 3], "addition_time_embed_dim": 16, "projection_class_embeddings_input_dim": 136}
    if family == "refiner":
        config |= {"transformer_layers_per_block": 2, "addition_time_embed_dim": 16, "projection_class_embeddings_input_dim": 120}
    return config


def narrow_encoder(family: Family, component: ComponentName) -> dict[str, Any]:
    config = {**ENCODERS[family][component], **_NARROW_TEXT}
    config["num_hidden_layers"] = 4 if family == "sd2" else 3
    if component == "text_encoder_2":
        config["projection_dim"] = 40
    elif family != "sd2":
        config["projection_dim"] = 64
    return config


@dataclass(frozen=True)
class Checkpoint:
    """A family's modules as diffusers and transformers build them, and their tensors under the original names."""

    modules: Mapping[str, Any]
    original: Tensors

    def tensors(self, component: ComponentName) -> Tensors:
        """What sdrt is to find: diffusers' own names, without the prefix that transformers' wrapper adds."""
        module = self.modules["vae" if component in ("vae_decoder", "vae_encoder") else component]
        return {name.removeprefix("text_model."): tensor for name, tensor in module.state_dict().items()}


def narrow(family: Family) -> Checkpoint:
    """Random in every tensor."""
    vae = {**VAE, "block_out_channels": [32, 32, 64, 64]}
    encoders = {component: narrow_encoder(family, component) for component in ENCODERS[family]}
    return _checkpoint(family, narrow_unet(family), vae, encoders, randomise)


def published(family: Family) -> Checkpoint:
    """As wide as the published models, without values."""
    with torch.device("meta"):
        return _checkpoint(family, UNETS[family], VAE, ENCODERS[family], lambda module: None)


def _checkpoint(
    family: Family,
    unet_config: Mapping[str, Any],
    vae_config: Mapping[str, Any],
    encoder_configs: Mapping[ComponentName, Mapping[str, Any]],
    fill: Callable[[torch.nn.Module], None],
) -> Checkpoint:
    unet, vae = UNet2DConditionModel(**unet_config), AutoencoderKL(**vae_config)
    modules: dict[str, torch.nn.Module] = {"unet": unet, "vae": vae}
    for component, config in encoder_configs.items():
        kind = CLIPTextModelWithProjection if component == "text_encoder_2" else CLIPTextModel
        modules[component] = kind(CLIPTextConfig(**{"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407, **config}))
    for module in modules.values():
        fill(module)
    original = original_unet(unet.state_dict(), unet.config) | original_vae(vae.state_dict(), len(vae_config["block_out_channels"]))
    for component in encoder_configs:
        plain = {name.removeprefix("text_model."): tensor for name, tensor in modules[component].state_dict().items()}
        match family, component:
            case ("sd1" | "inpaint", _):
                original |= original_clip(plain, "cond_stage_model.transformer.")
            case ("sd2", _):
                original |= original_open_clip(plain, "cond_stage_model.model.", unused_layer=True)
            case ("sdxl", "text_encoder"):
                original |= original_clip(plain, "conditioner.embedders.0.transformer.")
            case ("sdxl", _):
                original |= original_open_clip(plain, "conditioner.embedders.1.model.")
            case _:
                original |= original_open_clip(plain, "conditioner.embedders.0.model.")
    return Checkpoint(modules, original)


def controlnet(*, wide: bool) -> ControlNetModel:
    """Stable Diffusion 1.5's ControlNet: as published and without values, or narrow and random in every tensor."""
    if wide:
        with torch.device("meta"):
            return ControlNetModel(**CONTROLNET)
    narrow_config = {
        "block_out_channels": [32, 64, 128, 128],
        "cross_attention_dim": 64,
        "conditioning_embedding_out_channels": [4, 8, 24, 64],
    }
    module = ControlNetModel(**narrow_config)
    randomise(module)
    return module


def save_original(checkpoint: Checkpoint, file: Path, **metadata: str) -> Path:
    """Write a checkpoint as its family's authors do, and return the file."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in checkpoint.original.items()}, file, metadata=metadata or None)
    return file

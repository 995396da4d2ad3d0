"""Small models with random weights, in diffusers' own classes and layout, for the parity tests.

Every tensor is randomised, including those that start at 0 or 1 (norms, biases), because a fresh model hides an ignored input or weight.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, ControlNetUnionModel, T2IAdapter, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from torch import nn
from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModel

from sdrt.models import ComponentName
from sdrt.testing.small_models import FamilyName, write_controlnet, write_model
from sdrt.testing.small_models.configs import CONTROLNETS, SAFETY_CHECKER, TEXT_ENCODERS, TEXT_ENCODERS_2, UNETS, UNION, VAES
from sdrt.testing.small_models.tokenizer import vocabulary, write_tokenizer

__all__ = [
    "ADDED",
    "CONTROLNETS",
    "NARROW_CONTROLNET",
    "NARROW_UNET",
    "SAFETY_CHECKER",
    "T2I_ADAPTERS",
    "TEXT_ENCODERS",
    "TEXT_ENCODERS_2",
    "UNETS",
    "UNION",
    "VAES",
    "Form",
    "normal",
    "random_controlnet",
    "random_quick_vae",
    "random_safety_checker",
    "random_t2i_adapter",
    "random_text_encoder",
    "random_unet",
    "random_union",
    "random_vae",
    "randomise",
    "save_controlnet_folder",
    "save_pipeline_folder",
    "save_refiner_folder",
    "save_t2i_adapter_folder",
    "save_tokenizer",
    "save_union_folder",
    "vocabulary",
]

Form: TypeAlias = FamilyName

# Width of the pooled text of SDXL's U-Nets, and the count of numbers beside it.
ADDED: Mapping[Form, tuple[int, int]] = {"sdxl": (24, 6), "sdxl-refiner": (24, 5)}

# A U-Net and its ControlNet with two levels, one of them with attention.
NARROW_UNET: dict[str, Any] = {
    "block_out_channels": (8, 8),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
}
NARROW_CONTROLNET: dict[str, Any] = {key: value for key, value in NARROW_UNET.items() if key != "up_block_types"}
NARROW_CONTROLNET["conditioning_embedding_out_channels"] = (4, 8)

# T2I-Adapters that fit the U-Nets of these forms, of each of diffusers' types; the second one in greys.
T2I_ADAPTERS: Mapping[str, tuple[Form, dict[str, Any]]] = {
    "full": ("sd1", {"channels": [32, 64, 64, 64]}),
    "grey": ("sd1", {"channels": [32, 64, 64, 64], "in_channels": 1, "num_res_blocks": 1}),
    "light": ("sd1", {"channels": [32, 64, 64], "num_res_blocks": 3, "adapter_type": "light_adapter"}),
    "xl": ("sdxl", {"channels": [32, 64, 96, 96], "downscale_factor": 16, "adapter_type": "full_adapter_xl"}),
}


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Randomise every tensor: matrices with deviation 1/sqrt(fan-in), norm weights around 1, biases around 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            elif name.endswith("weight"):
                tensor.copy_(1 + 0.3 * noise)
            else:
                tensor.copy_(0.3 * noise)


def random_unet(config: Mapping[str, Any], seed: int = 0) -> UNet2DConditionModel:
    """A U-Net of this configuration over diffusers' defaults, every tensor random."""
    unet = UNet2DConditionModel(**config).eval().requires_grad_(False)
    randomise(unet, seed)
    return unet


def random_vae(config: Mapping[str, Any], seed: int = 0) -> AutoencoderKL:
    """An autoencoder with four levels unless the configuration says otherwise, every tensor random."""
    levels = len(config["block_out_channels"])
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * levels, "up_block_types": ("UpDecoderBlock2D",) * levels}
    vae = AutoencoderKL(**(blocks | dict(config))).eval().requires_grad_(False)
    randomise(vae, seed)
    return vae


def random_quick_vae(config: Mapping[str, Any], seed: int = 0) -> AutoencoderTiny:
    """A quick autoencoder, every tensor random."""
    vae = AutoencoderTiny(**config).eval().requires_grad_(False)
    randomise(vae, seed)
    return vae


def random_text_encoder(config: Mapping[str, Any], seed: int = 0, kind: Any = CLIPTextModel) -> Any:
    """A CLIP text encoder over the vocabulary that `save_tokenizer` writes, every tensor random."""
    ids = {"vocab_size": len(vocabulary()), "bos_token_id": len(vocabulary()) - 2, "eos_token_id": len(vocabulary()) - 1}
    encoder = kind(CLIPTextConfig(**(ids | dict(config)))).eval().requires_grad_(False)
    randomise(encoder, seed)
    return encoder


def random_controlnet(config: Mapping[str, Any], seed: int = 0) -> ControlNetModel:
    """A ControlNet of this configuration over diffusers' defaults, every tensor random, those that start at zero too."""
    controlnet = ControlNetModel(**config).eval().requires_grad_(False)
    randomise(controlnet, seed)
    return controlnet


def save_controlnet_folder(folder: Path, form: Form = "sd1", seed: int = 0) -> Path:
    """A ControlNet whose picture shows in its residuals, and its path."""
    return write_controlnet(folder, form, seed=seed)


def random_t2i_adapter(name: str, seed: int = 0) -> T2IAdapter:
    """One of `T2I_ADAPTERS`, every tensor random."""
    adapter = T2IAdapter(**T2I_ADAPTERS[name][1]).eval().requires_grad_(False)
    randomise(adapter, seed)
    return adapter


def save_t2i_adapter_folder(folder: Path, name: str, seed: int = 0) -> Path:
    """One of `T2I_ADAPTERS` in a folder, and its path."""
    random_t2i_adapter(name, seed).save_pretrained(folder)
    return folder


def random_union(config: Mapping[str, Any] = UNION, seed: int = 0) -> ControlNetUnionModel:
    """A ControlNet for several sorts of pictures, every tensor random, the vectors of the sorts among them."""
    union = ControlNetUnionModel(**config).eval().requires_grad_(False)
    randomise(union, seed)
    return union


def save_union_folder(folder: Path, seed: int = 0) -> Path:
    """A union whose pictures and sorts show in its residuals, and its path."""
    return write_controlnet(folder, "sdxl", union=True, seed=seed)


def save_refiner_folder(folder: Path) -> Path:
    """An SDXL refiner whose scores show in what it predicts, and its path."""
    return write_model(folder, "sdxl-refiner")


def random_safety_checker(config: Mapping[str, Any] = SAFETY_CHECKER, seed: int = 0) -> StableDiffusionSafetyChecker:
    """A safety checker, every tensor random, thresholds among them."""
    checker = StableDiffusionSafetyChecker(CLIPConfig(**config)).eval().requires_grad_(False)
    randomise(checker, seed)
    return checker


def save_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer of 77 positions with a tiny vocabulary."""
    write_tokenizer(folder)


def save_pipeline_folder(folder: Path, form: Form = "sd1", *, safety_checker: bool = False) -> Path:
    """A whole model folder in diffusers' layout, weights in float32, and its path."""
    extras: tuple[ComponentName, ...] = ("safety_checker",) if safety_checker else ()
    return write_model(folder, form, extras=extras)


def normal(seed: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    """Reproducible normal numbers of this shape."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)

"""Small random IP-Adapters and image encoders, in the files that their makers publish and in diffusers' own classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from safetensors.numpy import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tests.factories import randomise

__all__ = ["ENCODER", "KINDS", "Kind", "adapter_tensors", "nested", "random_encoder", "save_adapter", "save_encoder"]

Kind = Literal["plain", "plus", "full"]
KINDS: tuple[Kind, ...] = ("plain", "plus", "full")

# 9 patches of a picture of 13 pixels, whose last row and column make no patch.
ENCODER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 13,
    "patch_size": 4,
    "projection_dim": 12,
    "hidden_act": "gelu",
}


def random_encoder(config: Mapping[str, Any] = ENCODER, seed: int = 0) -> CLIPVisionModelWithProjection:
    """An image encoder, every tensor random."""
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**config)).eval().requires_grad_(False)
    randomise(encoder, seed)
    return encoder


def save_encoder(folder: Path, config: Mapping[str, Any] = ENCODER, seed: int = 0) -> Path:
    """The folder of an image encoder."""
    random_encoder(config, seed).save_pretrained(folder)
    return folder


def adapter_tensors(
    unet: UNet2DConditionModel, kind: Kind = "plain", *, encoder: Mapping[str, Any] = ENCODER, seed: int = 0, tokens: int = 4
) -> dict[str, np.ndarray]:
    """The tensors of an adapter for a U-Net, under the names of the original code, every one random.

    They are larger than a trained adapter's, so that a picture moves.
    """
    draw = np.random.default_rng(seed)
    width = int(unet.config["cross_attention_dim"])
    embedding, states = encoder["projection_dim"], encoder["hidden_size"]

    def matrix(*shape: int) -> np.ndarray:
        return np.asarray(draw.standard_normal(shape) / np.sqrt(np.prod(shape[1:])), np.float32)

    def vector(size: int, middle: float = 0.0) -> np.ndarray:
        return (middle + 0.3 * draw.standard_normal(size)).astype(np.float32)

    def norm(name: str, size: int) -> dict[str, np.ndarray]:
        return {f"{name}.weight": vector(size, 1.0), f"{name}.bias": vector(size)}

    def product(name: str, size_out: int, size_in: int) -> dict[str, np.ndarray]:
        return {f"{name}.weight": matrix(size_out, size_in), f"{name}.bias": vector(size_out)}

    match kind:
        case "plain":
            projection = product("proj", tokens * width, embedding) | norm("norm", width)
        case "full":
            projection = product("proj.0", states, states) | product("proj.2", width, states) | norm("proj.3", width)
        case "plus":
            hidden, inner = 10, 2 * 64
            projection = product("proj_in", hidden, states) | product("proj_out", width, hidden) | norm("norm_out", width)
            projection["latents"] = matrix(1, tokens, hidden)
            for layer in range(4):
                here = f"layers.{layer}"
                projection |= norm(f"{here}.0.norm1", hidden) | norm(f"{here}.0.norm2", hidden) | norm(f"{here}.1.0", hidden)
                projection |= {f"{here}.0.to_q.weight": matrix(inner, hidden), f"{here}.0.to_kv.weight": matrix(2 * inner, hidden)}
                projection |= {f"{here}.0.to_out.weight": matrix(hidden, inner)}
                projection |= {f"{here}.1.1.weight": matrix(4 * hidden, hidden), f"{here}.1.3.weight": matrix(hidden, 4 * hidden)}
    tensors = {f"image_proj.{name}": tensor for name, tensor in projection.items()}
    names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(names):
        inner = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
        for side in ("to_k_ip", "to_v_ip"):
            tensors[f"ip_adapter.{2 * number + 1}.{side}.weight"] = 2 * matrix(inner, width)
    return tensors


def nested(tensors: Mapping[str, np.ndarray]) -> dict[str, dict[str, torch.Tensor]]:
    """The same tensors as a ``.bin`` holds them."""
    groups: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        groups[group][rest] = torch.from_numpy(tensor)
    return groups


def save_adapter(file: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """The file of an adapter."""
    save_file(dict(tensors), file)
    return file

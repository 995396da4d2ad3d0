"""Small models with random weights, in diffusers' own classes and layout: what the parity tests compare with.

Every tensor is randomised, also those that start at 0 or 1 (norms, biases): a fresh model hides an input or a weight that is ignored.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

Form: TypeAlias = Literal["sd1", "sd2"]

# Stable Diffusion 1.5's and 2.1's own configurations with fewer and narrower layers.
UNETS: Mapping[Form, Mapping[str, Any]] = {
    "sd1": {
        "sample_size": 8,
        "block_out_channels": (32, 64, 64, 64),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 16,
    },
    "sd2": {
        "sample_size": 8,
        "block_out_channels": (32, 64, 64, 64),
        "cross_attention_dim": 48,
        "attention_head_dim": (1, 2, 4, 4),
        "norm_num_groups": 32,
        "use_linear_projection": True,
        "upcast_attention": True,
    },
}

VAES: Mapping[Form, Mapping[str, Any]] = {
    "sd1": {"block_out_channels": (16, 32, 32, 32), "layers_per_block": 1, "norm_num_groups": 8},
    "sd2": {"block_out_channels": (16, 16, 32, 32), "layers_per_block": 2, "norm_num_groups": 16},
}

TEXT_ENCODERS: Mapping[Form, Mapping[str, Any]] = {
    # eos_token_id 2 is what Stable Diffusion's own files say: the old rule, the pooled state stands at the highest id
    "sd1": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "eos_token_id": 2},
    "sd2": {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3, "hidden_act": "gelu"},
}

_SCHEDULERS: Mapping[Form, Mapping[str, Any]] = {"sd1": {"prediction_type": "epsilon"}, "sd2": {"prediction_type": "v_prediction"}}

_MERGES = ("r e", "re d</w>", "b l", "bl u", "blu e</w>", "c i", "ci r", "c l", "cl e</w>", "cir cle</w>")


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Draw every tensor anew: matrices with deviation 1/sqrt(fan-in), norm weights round 1, biases round 0."""
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


def random_text_encoder(config: Mapping[str, Any], seed: int = 0, kind: Any = CLIPTextModel) -> Any:
    """A CLIP text encoder over the vocabulary that `save_tokenizer` writes, every tensor random."""
    ids = {"vocab_size": len(vocabulary()), "bos_token_id": len(vocabulary()) - 2, "eos_token_id": len(vocabulary()) - 1}
    encoder = kind(CLIPTextConfig(**(ids | dict(config)))).eval().requires_grad_(False)
    randomise(encoder, seed)
    return encoder


def vocabulary() -> dict[str, int]:
    """Every byte, every byte at the end of a word, a few merges, and the two marks last, as in CLIP's own vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
    merged = ["".join(merge.split(" ")) for merge in _MERGES]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *merged, "<|startoftext|>", "<|endoftext|>"]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def save_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer of 77 positions with a tiny vocabulary."""
    folder.mkdir(parents=True)
    start, end = "<|startoftext|>", "<|endoftext|>"
    marks = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end}
    (folder / "vocab.json").write_text(json.dumps(vocabulary(), ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(_MERGES) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(marks))
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "add_prefix_space": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | marks))


def save_scheduler(folder: Path, form: Form = "sd1") -> None:
    """DDIM on Stable Diffusion's own noise schedule, nothing clipped."""
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    DDIMScheduler(**schedule, clip_sample=False, set_alpha_to_one=False, steps_offset=1, **_SCHEDULERS[form]).save_pretrained(folder)


def save_pipeline_folder(folder: Path, form: Form = "sd1") -> Path:
    """A whole model folder in diffusers' layout, weights in float32, and its path."""
    random_unet(UNETS[form], seed=1).save_pretrained(folder / "unet")
    random_vae(VAES[form], seed=2).save_pretrained(folder / "vae")
    random_text_encoder(TEXT_ENCODERS[form], seed=3).save_pretrained(folder / "text_encoder")
    save_tokenizer(folder / "tokenizer")
    save_scheduler(folder / "scheduler", form)
    parts = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
    index: dict[str, Any] = {name: ["diffusers", kind] for name, kind in {**parts, "scheduler": "DDIMScheduler"}.items()}
    index |= {name: ["transformers", kind] for name, kind in {"text_encoder": "CLIPTextModel", "tokenizer": "CLIPTokenizer"}.items()}
    index |= {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1", "requires_safety_checker": False}
    index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "image_encoder": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def normal(seed: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    """Reproducible normal numbers of this shape."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)

"""Small models with random weights, in diffusers' own classes and layout, for the parity tests.

Every tensor is randomised, including those that start at 0 or 1 (norms, biases), because a fresh model hides an ignored input or weight.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, ControlNetUnionModel, DDIMScheduler, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from torch import nn
from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

Form: TypeAlias = Literal["sd1", "sd2", "inpaint", "lcm", "sdxl", "sdxl-refiner"]

_SD1_UNET: Mapping[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (32, 64, 64, 64),
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "norm_num_groups": 16,
}

# The configurations of the published models with fewer and narrower layers.
UNETS: Mapping[Form, Mapping[str, Any]] = {
    "sd1": _SD1_UNET,
    "sd2": {
        "sample_size": 8,
        "block_out_channels": (32, 64, 64, 64),
        "cross_attention_dim": 48,
        "attention_head_dim": (1, 2, 4, 4),
        "norm_num_groups": 32,
        "use_linear_projection": True,
        "upcast_attention": True,
    },
    # 4 channels of latents, 1 of the mask, 4 of the masked picture
    "inpaint": {**_SD1_UNET, "in_channels": 9},
    "lcm": {**_SD1_UNET, "time_cond_proj_dim": 24},
    "sdxl": {
        "sample_size": 8,
        "block_out_channels": (32, 64, 96),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 3),
        "attention_head_dim": (2, 4, 6),
        "cross_attention_dim": 80,  # both text encoders side by side
        "use_linear_projection": True,
        "upcast_attention": None,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 72,  # the second encoder's projection, and six numbers
    },
    "sdxl-refiner": {
        "sample_size": 8,
        "block_out_channels": (32, 64, 96, 96),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": 2,
        "attention_head_dim": (2, 4, 6, 6),
        "cross_attention_dim": 48,
        "use_linear_projection": True,
        "upcast_attention": None,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 64,  # the same, and five numbers
    },
}

# Width of the pooled text of SDXL's U-Nets, and the count of numbers beside it.
ADDED: Mapping[Form, tuple[int, int]] = {"sdxl": (24, 6), "sdxl-refiner": (24, 5)}

# ControlNets share the down path of their U-Net; the convolutions of the picture are a quarter as wide.
_CONTROLNET_KEYS = (
    "block_out_channels",
    "down_block_types",
    "transformer_layers_per_block",
    "attention_head_dim",
    "cross_attention_dim",
    "norm_num_groups",
    "use_linear_projection",
    "upcast_attention",
    "addition_embed_type",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
)
_CONTROLLED: tuple[Form, ...] = ("sd1", "sd2", "sdxl")
CONTROLNETS: Mapping[Form, Mapping[str, Any]] = {
    form: {
        **{key: UNETS[form][key] for key in _CONTROLNET_KEYS if key in UNETS[form]},
        "conditioning_embedding_out_channels": (4, 8, 24, 64),
    }
    for form in _CONTROLLED
}

# A union for SDXL: six sorts of pictures, each with a learnt vector, as wide as the first level.
UNION: Mapping[str, Any] = {
    **CONTROLNETS["sdxl"],
    "num_control_type": 6,
    "num_trans_channel": 32,
    "num_trans_head": 4,
    "num_trans_layer": 2,
    "num_proj_channel": 32,
}

_SD1_VAE: Mapping[str, Any] = {"block_out_channels": (16, 32, 32, 32), "layers_per_block": 1, "norm_num_groups": 8}
_SDXL_VAE: Mapping[str, Any] = {**_SD1_VAE, "scaling_factor": 0.13025, "force_upcast": True}

VAES: Mapping[Form, Mapping[str, Any]] = {
    "sd1": _SD1_VAE,
    "sd2": {"block_out_channels": (16, 16, 32, 32), "layers_per_block": 2, "norm_num_groups": 16},
    "inpaint": _SD1_VAE,
    "lcm": _SD1_VAE,
    "sdxl": _SDXL_VAE,
    "sdxl-refiner": _SDXL_VAE,
}

_SD1_TEXT_ENCODER: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    # as in Stable Diffusion's own files: by the old rule, the pooled state is at the highest id
    "eos_token_id": 2,
}

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

# The refiner has the second encoder alone.
TEXT_ENCODERS: Mapping[Form, Mapping[str, Any]] = {
    "sd1": _SD1_TEXT_ENCODER,
    "sd2": {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3, "hidden_act": "gelu"},
    "inpaint": _SD1_TEXT_ENCODER,
    "lcm": _SD1_TEXT_ENCODER,
    "sdxl": _SD1_TEXT_ENCODER,
}

_SDXL_TEXT_ENCODER_2: Mapping[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "hidden_act": "gelu",
    "projection_dim": 24,
    "eos_token_id": 2,
}
TEXT_ENCODERS_2: Mapping[Form, Mapping[str, Any]] = {"sdxl": _SDXL_TEXT_ENCODER_2, "sdxl-refiner": _SDXL_TEXT_ENCODER_2}

SAFETY_CHECKER: Mapping[str, Any] = {
    "projection_dim": 20,
    "vision_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 28,
        "patch_size": 7,
    },
}

_PIPELINES: Mapping[Form, str] = {
    "sd1": "StableDiffusionPipeline",
    "sd2": "StableDiffusionPipeline",
    "inpaint": "StableDiffusionInpaintPipeline",
    "lcm": "LatentConsistencyModelPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sdxl-refiner": "StableDiffusionXLImg2ImgPipeline",
}

_MERGES = ("r e", "re d</w>", "b l", "bl u", "blu e</w>", "c i", "ci r", "c l", "cl e</w>", "cir cle</w>")


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
    """A ControlNet whose picture shows in its residuals, and its path: random layers let little of it through, and drown it in biases."""
    network = random_controlnet(CONTROLNETS[form], seed)
    _let_pictures_show(network)
    network.save_pretrained(folder)
    return folder


def _let_pictures_show(network: Any) -> None:
    with torch.no_grad():
        for name, tensor in network.controlnet_cond_embedding.named_parameters():
            tensor *= 2.5 if name.endswith("weight") else 0.1
        for convolution in (*network.controlnet_down_blocks, network.controlnet_mid_block):
            convolution.weight *= 4


def random_union(config: Mapping[str, Any] = UNION, seed: int = 0) -> ControlNetUnionModel:
    """A ControlNet for several sorts of pictures, every tensor random, the vectors of the sorts among them."""
    union = ControlNetUnionModel(**config).eval().requires_grad_(False)
    randomise(union, seed)
    return union


def save_union_folder(folder: Path, seed: int = 0) -> Path:
    """A union whose pictures and sorts show in its residuals, and its path."""
    network = random_union(UNION, seed)
    _let_pictures_show(network)
    with torch.no_grad():
        network.task_embedding *= 60
        network.spatial_ch_projs.weight *= 20
    network.save_pretrained(folder)
    return folder


def save_refiner_folder(folder: Path) -> Path:
    """An SDXL refiner whose scores show in what it predicts, and its path."""
    save_pipeline_folder(folder, "sdxl-refiner")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    with torch.no_grad():
        unet.add_embedding.linear_1.weight *= 8
        unet.add_embedding.linear_2.weight *= 8
    unet.save_pretrained(folder / "unet")
    return folder


def random_safety_checker(config: Mapping[str, Any] = SAFETY_CHECKER, seed: int = 0) -> StableDiffusionSafetyChecker:
    """A safety checker, every tensor random, thresholds among them."""
    checker = StableDiffusionSafetyChecker(CLIPConfig(**config)).eval().requires_grad_(False)
    randomise(checker, seed)
    return checker


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
    prediction = "v_prediction" if form == "sd2" else "epsilon"
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    DDIMScheduler(**schedule, clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type=prediction).save_pretrained(folder)


def save_pipeline_folder(folder: Path, form: Form = "sd1", *, safety_checker: bool = False) -> Path:
    """A whole model folder in diffusers' layout, weights in float32, and its path."""
    random_unet(UNETS[form], seed=1).save_pretrained(folder / "unet")
    random_vae(VAES[form], seed=2).save_pretrained(folder / "vae")
    save_scheduler(folder / "scheduler", form)
    libraries = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "scheduler": "DDIMScheduler"}
    index: dict[str, Any] = {name: ["diffusers", kind] for name, kind in libraries.items()}
    encoders = [("text_encoder", "tokenizer", TEXT_ENCODERS, CLIPTextModel, 3)]
    if form in TEXT_ENCODERS_2:
        encoders.append(("text_encoder_2", "tokenizer_2", TEXT_ENCODERS_2, CLIPTextModelWithProjection, 5))
    for name, tokenizer, configs, kind, seed in encoders:
        index |= {name: [None, None], tokenizer: [None, None]}
        if form in configs:
            random_text_encoder(configs[form], seed, kind).save_pretrained(folder / name)
            save_tokenizer(folder / tokenizer)
            index |= {name: ["transformers", kind.__name__], tokenizer: ["transformers", "CLIPTokenizer"]}
    index |= {"_class_name": _PIPELINES[form], "_diffusers_version": "0.42.1"}
    if form in TEXT_ENCODERS_2:
        refines = form == "sdxl-refiner"
        index |= {"force_zeros_for_empty_prompt": not refines} | ({"requires_aesthetics_score": True} if refines else {})
    else:
        index |= {"requires_safety_checker": safety_checker, "feature_extractor": [None, None], "image_encoder": [None, None]}
        index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"] if safety_checker else [None, None]
    if safety_checker:
        random_safety_checker(seed=4).save_pretrained(folder / "safety_checker")
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def normal(seed: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    """Reproducible normal numbers of this shape."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)

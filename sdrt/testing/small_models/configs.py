"""The configurations of small models: those of the published ones with fewer and narrower layers."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

__all__ = [
    "CONTROLNETS",
    "FAMILIES",
    "PIPELINES",
    "SAFETY_CHECKER",
    "TEXT_ENCODERS",
    "TEXT_ENCODERS_2",
    "UNETS",
    "UNION",
    "VAES",
    "FamilyName",
]

FamilyName: TypeAlias = Literal["sd1", "sd2", "inpaint", "lcm", "sdxl", "sdxl-refiner"]
FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)

_SD1_UNET: Mapping[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (32, 64, 64, 64),
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "norm_num_groups": 16,
}

UNETS: Mapping[FamilyName, Mapping[str, Any]] = {
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
_CONTROLLED: tuple[FamilyName, ...] = ("sd1", "sd2", "sdxl")
CONTROLNETS: Mapping[FamilyName, Mapping[str, Any]] = {
    family: {
        **{key: UNETS[family][key] for key in _CONTROLNET_KEYS if key in UNETS[family]},
        "conditioning_embedding_out_channels": (4, 8, 24, 64),
    }
    for family in _CONTROLLED
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

VAES: Mapping[FamilyName, Mapping[str, Any]] = {
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

# The refiner has the second encoder alone.
TEXT_ENCODERS: Mapping[FamilyName, Mapping[str, Any]] = {
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
TEXT_ENCODERS_2: Mapping[FamilyName, Mapping[str, Any]] = {"sdxl": _SDXL_TEXT_ENCODER_2, "sdxl-refiner": _SDXL_TEXT_ENCODER_2}

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

PIPELINES: Mapping[FamilyName, str] = {
    "sd1": "StableDiffusionPipeline",
    "sd2": "StableDiffusionPipeline",
    "inpaint": "StableDiffusionInpaintPipeline",
    "lcm": "LatentConsistencyModelPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sdxl-refiner": "StableDiffusionXLImg2ImgPipeline",
}

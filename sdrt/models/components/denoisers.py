"""Denoisers of diffusers' U-Net kind, and the ControlNets that guide them."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.models.components.record import Component, PackageNames
from sdrt.models.components.text_time import text_time_inputs

__all__ = ["CONTROLNET", "UNET", "latent_multiple", "residual_widths"]

# Of UNet2DConditionModel in diffusers 0.42.1.
_UNET: Mapping[str, Any] = {
    "sample_size": None,
    "in_channels": 4,
    "out_channels": 4,
    "center_input_sample": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "only_cross_attention": False,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "act_fn": "silu",
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
    "cross_attention_dim": 1280,
    "transformer_layers_per_block": 1,
    "reverse_transformer_layers_per_block": None,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "attention_head_dim": 8,
    "num_attention_heads": None,
    "dual_cross_attention": False,
    "use_linear_projection": False,
    "class_embed_type": None,
    "addition_embed_type": None,
    "addition_time_embed_dim": None,
    "num_class_embeds": None,
    "upcast_attention": False,
    "resnet_time_scale_shift": "default",
    "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1.0,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "time_embedding_act_fn": None,
    "timestep_post_act": None,
    "time_cond_proj_dim": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "projection_class_embeddings_input_dim": None,
    "attention_type": "default",
    "class_embeddings_concat": False,
    "mid_block_only_cross_attention": None,
    "cross_attention_norm": None,
    "addition_embed_type_num_heads": 64,
}

# Of ControlNetModel in diffusers 0.42.1.
_CONTROLNET: Mapping[str, Any] = {
    "in_channels": 4,
    "conditioning_channels": 3,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "only_cross_attention": False,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "act_fn": "silu",
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
    "cross_attention_dim": 1280,
    "transformer_layers_per_block": 1,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "attention_head_dim": 8,
    "num_attention_heads": None,
    "use_linear_projection": False,
    "class_embed_type": None,
    "addition_embed_type": None,
    "addition_time_embed_dim": None,
    "num_class_embeds": None,
    "upcast_attention": False,
    "resnet_time_scale_shift": "default",
    "projection_class_embeddings_input_dim": None,
    "controlnet_conditioning_channel_order": "rgb",
    "conditioning_embedding_out_channels": [16, 32, 96, 256],
    "global_pool_conditions": False,
    "addition_embed_type_num_heads": 64,
}


def latent_multiple(config: Mapping[str, Any]) -> int:
    """Return the number that must divide the sides of latents, so that every level can halve them.

    >>> latent_multiple({"block_out_channels": (320, 640, 1280, 1280)})
    8
    """
    return int(2 ** (len(config["block_out_channels"]) - 1))


def residual_widths(config: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Return (channels, number of halvings) of each residual that a ControlNet adds to a U-Net.

    One comes from the first convolution, one from each residual block and each downsampler of the down path, and one from the middle.

    >>> residual_widths({"block_out_channels": (320, 640), "layers_per_block": 1})
    ((320, 0), (320, 0), (320, 1), (640, 1), (640, 1))
    """
    channels, layers = tuple(config["block_out_channels"]), config["layers_per_block"]
    counts = (layers,) * len(channels) if isinstance(layers, int) else tuple(layers)
    last = len(channels) - 1
    widths = [(channels[0], 0)]
    for level, (width, count) in enumerate(zip(channels, counts, strict=True)):
        widths += [(width, level)] * count
        if level < last:
            widths.append((width, level + 1))
    return (*widths, (channels[-1], last))


def _complete_unet(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**_UNET, **config}


def _complete_controlnet(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**_CONTROLNET, **config}


def _unet_contract(config: Mapping[str, Any], dtype: str) -> Signature:
    return Signature(
        inputs=(*_common_inputs(config, dtype), *_guidance_embedding(config, dtype)),
        outputs=(TensorSpec("noise_pred", dtype, (None, config["out_channels"], None, None)),),
        optional=_residuals(config, dtype),
    )


def _controlnet_contract(config: Mapping[str, Any], dtype: str) -> Signature:
    hint = TensorSpec("controlnet_cond", dtype, (None, config["conditioning_channels"], None, None))
    return Signature(inputs=(*_common_inputs(config, dtype), hint), outputs=_residuals(config, dtype))


def _common_inputs(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    return (
        TensorSpec("sample", dtype, (None, config["in_channels"], None, None)),
        TensorSpec("timestep", dtype, (None,)),
        TensorSpec("encoder_hidden_states", dtype, (None, None, config["cross_attention_dim"])),
        *text_time_inputs(config, dtype),
    )


def _guidance_embedding(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    """Return the input for the embedded guidance scale of a latent consistency model, if it has one."""
    size = config["time_cond_proj_dim"]
    return () if size is None else (TensorSpec("timestep_cond", dtype, (None, size)),)


def _residuals(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    widths = enumerate(width for width, _ in residual_widths(config))
    return tuple(TensorSpec(f"additional_residual_{index}", dtype, (None, width, None, None)) for index, width in widths)


_ROOTS = ("conv_in.", "time_embedding.", "down_blocks.", "mid_block.")

UNET = Component(
    name="unet",
    folder="unet",
    prefix="model.diffusion_model.",
    packages=(
        PackageNames(role="unet", suffix="unet", resources=("Unet",)),
        PackageNames(role="control_unet", suffix="control-unet", resources=("ControlledUnet", "ControlledUNet")),
        PackageNames(role="refiner", suffix="refiner", resources=("UnetRefiner",)),
    ),
    classes=("UNet2DConditionModel",),
    complete=_complete_unet,
    contract=_unet_contract,
    roots=_ROOTS,
)
CONTROLNET = Component(
    name="controlnet",
    folder="controlnet",
    prefix="control_model.",
    classes=("ControlNetModel",),
    complete=_complete_controlnet,
    contract=_controlnet_contract,
    roots=(*_ROOTS, "controlnet_"),
)

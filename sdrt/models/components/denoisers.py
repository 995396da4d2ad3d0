"""Denoisers of diffusers' U-Net kind, and what the ControlNets that guide them share with them."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.limits import Limits
from sdrt.models.components.cross_attentions import image_prompt_inputs
from sdrt.models.components.feature_places import ADAPTER_FEATURES, feature_inputs
from sdrt.models.components.keys import (
    COUNT,
    EPSILON,
    FLAG,
    NAME,
    SIDE,
    Key,
    check_layers,
    check_levels,
    each_level,
    list_for_levels,
    optional,
    or_pair,
    read_keys,
)
from sdrt.models.components.record import Component, Extra, PackageNames
from sdrt.models.components.text_time import check_text_time, text_time_inputs
from sdrt.values import Choice, Either, Integer, ListOf, Number

__all__ = [
    "LEVELS",
    "ROOTS",
    "SHARED",
    "UNET",
    "common_inputs",
    "complete_denoiser",
    "latent_multiple",
    "residual_specs",
    "residual_widths",
]

# what diffusers knows; it passes over any other in silence
_CLASS_EMBEDDINGS = Choice("timestep", "identity", "projection", "simple_projection")
_KERNEL = Integer(1, 99, whole_floats=True)
# layers of a level's transformers: one number, or one for each transformer
_DEPTHS = Either(COUNT, ListOf(COUNT, 1, 64))

# Keys that UNet2DConditionModel and ControlNetModel of diffusers 0.42.1 share, with one default.
SHARED: Mapping[str, Key] = {
    "in_channels": Key(COUNT, 4),
    "flip_sin_to_cos": Key(FLAG, True),
    "freq_shift": Key(Number(-1e3, 1e3), 0),
    "down_block_types": Key(list_for_levels(NAME), ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]),
    "mid_block_type": optional(NAME, "UNetMidBlock2DCrossAttn"),
    "only_cross_attention": Key(each_level(FLAG), False),
    "block_out_channels": Key(list_for_levels(), [320, 640, 1280, 1280]),
    "layers_per_block": Key(each_level(COUNT), 2),
    "downsample_padding": Key(Integer(0, 1, whole_floats=True), 1),
    "mid_block_scale_factor": Key(Number(-1e4, 1e4), 1),
    "act_fn": Key(NAME, "silu"),
    "norm_num_groups": optional(COUNT, 32),
    "norm_eps": Key(EPSILON, 1e-5),
    "cross_attention_dim": Key(COUNT, 1280),
    "transformer_layers_per_block": Key(each_level(_DEPTHS), 1),
    "encoder_hid_dim": optional(COUNT),
    "encoder_hid_dim_type": optional(NAME),
    "attention_head_dim": Key(each_level(COUNT), 8),
    "num_attention_heads": optional(each_level(COUNT)),
    "use_linear_projection": Key(FLAG, False),
    "class_embed_type": optional(_CLASS_EMBEDDINGS),
    "addition_embed_type": optional(NAME),
    "addition_time_embed_dim": optional(COUNT),
    "num_class_embeds": optional(COUNT),
    "upcast_attention": optional(FLAG, False),
    "resnet_time_scale_shift": Key(NAME, "default"),
    "projection_class_embeddings_input_dim": optional(COUNT),
    "addition_embed_type_num_heads": Key(COUNT, 64),
}

# Of UNet2DConditionModel in diffusers 0.42.1.
_UNET: Mapping[str, Key] = {
    **SHARED,
    "sample_size": optional(or_pair(SIDE)),
    "out_channels": Key(COUNT, 4),
    "center_input_sample": Key(FLAG, False),
    "up_block_types": Key(list_for_levels(NAME), ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]),
    "reverse_transformer_layers_per_block": optional(list_for_levels(_DEPTHS)),
    "dual_cross_attention": Key(FLAG, False),
    "resnet_skip_time_act": Key(FLAG, False),
    "resnet_out_scale_factor": Key(Number(0.0, 1e4, above=True), 1.0),
    "time_embedding_type": Key(NAME, "positional"),
    "time_embedding_dim": optional(COUNT),
    "time_embedding_act_fn": optional(NAME),
    "timestep_post_act": optional(NAME),
    "time_cond_proj_dim": optional(COUNT),
    "conv_in_kernel": Key(_KERNEL, 3),
    "conv_out_kernel": Key(_KERNEL, 3),
    "attention_type": Key(NAME, "default"),
    "class_embeddings_concat": Key(FLAG, False),
    "mid_block_only_cross_attention": optional(FLAG),
    "cross_attention_norm": optional(Choice("layer_norm", "group_norm")),
    # sdrt's own: IP-Adapters whose keys and values stand beside the weights, see `sdrt.models.ip_adapter`
    "ip_adapters": Key(Integer(0, 64, whole_floats=True)),
}

# Keys with one value for all levels, or a list with one for each.
LEVELS = (
    "down_block_types",
    "only_cross_attention",
    "layers_per_block",
    "transformer_layers_per_block",
    "attention_head_dim",
    "num_attention_heads",
)


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


def _complete_unet(config: Mapping[str, Any], where: str, limits: Limits) -> dict[str, Any]:
    return complete_denoiser(_UNET, (*LEVELS, "up_block_types", "reverse_transformer_layers_per_block"), config, where, limits)


def complete_denoiser(
    keys: Mapping[str, Key], levels: tuple[str, ...], config: Mapping[str, Any], where: str, limits: Limits
) -> dict[str, Any]:
    """Check a configuration by these keys and fill in their defaults; ``levels`` are those that have lists with an entry for each level."""
    values = read_keys(keys, config, where)
    check_levels(values, levels, where)
    check_layers(values, ("layers_per_block", "transformer_layers_per_block"), limits, where)
    check_text_time(values, where)
    return values


def _unet_contract(config: Mapping[str, Any], dtype: str) -> Signature:
    return Signature(
        inputs=(
            *common_inputs(config, dtype),
            *_guidance_embedding(config, dtype),
            *feature_inputs(config, dtype),
            *image_prompt_inputs(config, dtype),
        ),
        outputs=(TensorSpec("noise_pred", dtype, (None, config["out_channels"], None, None)),),
        optional=residual_specs(config, dtype),
    )


def common_inputs(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    """Return the inputs that a U-Net and its ControlNets share."""
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


def residual_specs(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    """Return what a ControlNet gives, and a U-Net may take."""
    widths = enumerate(width for width, _ in residual_widths(config))
    return tuple(TensorSpec(f"additional_residual_{index}", dtype, (None, width, None, None)) for index, width in widths)


ROOTS = ("conv_in.", "time_embedding.", "down_blocks.", "mid_block.")

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
    keys=_complete_unet,
    contract=_unet_contract,
    roots=ROOTS,
    extras={
        ADAPTER_FEATURES: Extra(what="a T2I-Adapter", backends=("numpy", "torch")),
        "ip_adapters": Extra(what="an IP-Adapter", backends=("numpy", "torch")),
    },
)

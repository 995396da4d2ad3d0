"""ControlNets of diffusers' two kinds: for one sort of picture, and unions, which take several sorts by their number."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.models.components.denoisers import LEVELS, ROOTS, SHARED, common_inputs, complete_denoiser, residual_specs, residual_widths
from sdrt.models.components.keys import COUNT, FLAG, NAME, Key, list_for_levels
from sdrt.models.components.record import Component
from sdrt.models.components.text_time import has_text_time
from sdrt.printable import shown
from sdrt.values import Integer

__all__ = ["CONTROLNET", "CONTROL_TYPES", "check_fit", "is_union"]

# Of ControlNetModel in diffusers 0.42.1.
_KEYS: Mapping[str, Key] = {
    **SHARED,
    "conditioning_channels": Key(COUNT, 3),
    "controlnet_conditioning_channel_order": Key(NAME, "rgb"),
    "conditioning_embedding_out_channels": Key(list_for_levels(), [16, 32, 96, 256]),
    "global_pool_conditions": Key(FLAG, False),
}

# Of ControlNetUnionModel in diffusers 0.42.1, whose middle attends to the text always.
_UNION_KEYS: Mapping[str, Key] = {
    **{name: key for name, key in _KEYS.items() if name != "mid_block_type"},
    "conditioning_embedding_out_channels": Key(list_for_levels(), [48, 96, 192, 384]),
    "num_control_type": Key(Integer(1, 1000, whole_floats=True), 6),
    "num_trans_channel": Key(COUNT, 320),
    "num_trans_head": Key(COUNT, 8),
    "num_trans_layer": Key(COUNT, 1),
    "num_proj_channel": Key(COUNT, 320),
}

# The second name is that of xinsir's own code, whose files have the same tensors.
_UNIONS = ("ControlNetUnionModel", "ControlNetModel_Union")

# The sorts of pictures that the published unions for SDXL take, by number; models of six sorts lack the last two.
# Source: the model card of xinsir/controlnet-union-sdxl-1.0.
CONTROL_TYPES: tuple[tuple[str, ...], ...] = (
    ("openpose",),
    ("depth",),
    ("hed", "pidi", "scribble", "ted", "soft_edges"),
    ("canny", "lineart", "anime_lineart", "mlsd"),
    ("normal",),
    ("segment",),
    ("tile",),
    ("repaint", "inpaint"),
)


def is_union(config: Mapping[str, Any]) -> bool:
    """Return whether a complete configuration of a ControlNet is a union's."""
    return "num_control_type" in config


def check_fit(controlnet: Mapping[str, Any], unet: Mapping[str, Any], latent_channels: int, where: object) -> None:
    """Check that a ControlNet can guide a U-Net: it reads the same texts and latents, and its residuals have the places that they go to.

    Parameters
    ----------
    controlnet, unet : mapping
        Complete configurations.
    latent_channels : int
    where : path or str
        The ControlNet's place, for messages.

    Raises
    ------
    ConfigError : it cannot
    """
    wanted: dict[str, tuple[Any, Any]] = {
        "cross_attention_dim": (unet["cross_attention_dim"], controlnet["cross_attention_dim"]),
        "in_channels": (latent_channels, controlnet["in_channels"]),
    }
    keys: tuple[str, ...] = ()
    if residual_widths(unet) != residual_widths(controlnet):
        keys = ("block_out_channels", "layers_per_block")
    if has_text_time(controlnet):
        keys += ("addition_embed_type", "projection_class_embeddings_input_dim", "addition_time_embed_dim")
    for name, (own, found) in (wanted | {key: (unet[key], controlnet[key]) for key in keys}).items():
        if own != found:
            raise ConfigError(
                f"{where}: a ControlNet's {name} must be that of its model, {shown(own)}, got {shown(found)}; "
                "pass a ControlNet of the same family"
            )


def _complete(config: Mapping[str, Any], where: str, limits: Limits) -> dict[str, Any]:
    if config.get("_class_name") not in _UNIONS:
        plain = {name: value for name, value in config.items() if name != "num_control_type"}
        return complete_denoiser(_KEYS, LEVELS, plain, where, limits)
    values = complete_denoiser(_UNION_KEYS, LEVELS, config, where, limits)
    first, heads = values["block_out_channels"][0], values["num_trans_head"]
    for name in ("num_trans_channel", "num_proj_channel"):
        if values[name] != first:
            raise ConfigError(f"{where}: {name} must be the first of block_out_channels, {first}, got {values[name]}; correct the file")
    if first % heads:
        raise ConfigError(f"{where}: num_trans_head must divide num_trans_channel, {first}, got {heads}; correct the file")
    if values["addition_time_embed_dim"] is None:
        raise ConfigError(f"{where}: addition_time_embed_dim must be the width of an embedded control type, got null; correct the file")
    limits.check("layers", f"{where}: num_trans_layer", values["num_trans_layer"], ConfigError)
    return values


def _contract(config: Mapping[str, Any], dtype: str) -> Signature:
    channels = config["conditioning_channels"]
    own: tuple[TensorSpec, ...] = (TensorSpec("controlnet_cond", dtype, (None, channels, None, None)),)
    if is_union(config):
        own = (
            TensorSpec("controlnet_cond", dtype, (None, None, channels, None, None)),
            TensorSpec("control_type", "int32", (None, None)),
            TensorSpec("control_scale", dtype, (None, None)),
        )
    return Signature(inputs=(*common_inputs(config, dtype), *own), outputs=residual_specs(config, dtype))


CONTROLNET = Component(
    name="controlnet",
    folder="controlnet",
    prefix="control_model.",
    classes=("ControlNetModel", *_UNIONS),
    keys=_complete,
    contract=_contract,
    roots=(*ROOTS, "controlnet_", "task_embedding", "transformer_layes.", "spatial_ch_projs.", "control_add_embedding."),
)

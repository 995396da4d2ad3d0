"""The configurations that can be rewritten; a value that would change the numbers, and is not handled, is refused by its key."""

from collections.abc import Mapping, Sequence
from typing import Any

from sdrt.errors import ConfigError

__all__ = ["check_supported"]

# Absent keys are skipped: a ControlNet has fewer than a U-Net.
_ALLOWED: Mapping[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "addition_embed_type": (None, "text_time"),
    "attention_type": ("default",),
    "class_embed_type": (None,),
    "class_embeddings_concat": (False,),
    "controlnet_conditioning_channel_order": ("rgb", "bgr"),
    "cross_attention_norm": (None,),
    "dual_cross_attention": (False,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "mid_block_scale_factor": (1,),
    "mid_block_type": ("UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None),
    "num_class_embeds": (None,),
    "resnet_out_scale_factor": (1,),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default",),
    "time_embedding_act_fn": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}
_BLOCKS: Mapping[str, tuple[str, ...]] = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
_NEEDED = ("norm_num_groups",)


def check_supported(config: Mapping[str, Any]) -> None:
    """Refuse a configuration that the rewrite does not handle.

    Parameters
    ----------
    config : mapping
        The configuration of a UNet2DConditionModel or ControlNetModel, in diffusers' form.

    Raises
    ------
    ConfigError : the first key whose value is not supported
    """
    for key, allowed in _ALLOWED.items():
        if key in config and config[key] not in allowed:
            raise _refusal(key, config[key], allowed)
    for key, kinds in _BLOCKS.items():
        if key in config and not set(config[key]) <= set(kinds):
            raise _refusal(key, tuple(config[key]), kinds)
    for key in _NEEDED:
        if config[key] is None:
            raise _refusal(key, None, ("a number",))


def _refusal(key: str, value: Any, allowed: Sequence[Any]) -> ConfigError:
    known = ", ".join(str(item) for item in allowed)
    return ConfigError(f"{key} is {value!r}; what can be rewritten for Core ML has {known}: convert another model")

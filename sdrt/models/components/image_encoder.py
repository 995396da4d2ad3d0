"""CLIP's tower for pictures: by itself it is the image encoder of IP-Adapters, and the safety checker is built on it."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.limits import Limits
from sdrt.models.components.keys import COUNT, EPSILON, NAME, SIDE, Key, check_layers, read_keys
from sdrt.models.components.record import Component

__all__ = ["IMAGE_ENCODER", "complete_tower", "state_count"]

# Of CLIPVisionConfig in transformers 5.23.
_TOWER: Mapping[str, Key] = {
    "hidden_size": Key(COUNT, 768),
    "intermediate_size": Key(COUNT, 3072),
    "projection_dim": Key(COUNT, 512),
    "num_hidden_layers": Key(COUNT, 12),
    "num_attention_heads": Key(COUNT, 12),
    "num_channels": Key(COUNT, 3),
    "image_size": Key(SIDE, 224),
    "patch_size": Key(SIDE, 32),
    "hidden_act": Key(NAME, "quick_gelu"),
    "layer_norm_eps": Key(EPSILON, 1e-5),
}


def complete_tower(config: Mapping[str, Any], where: str, limits: Limits) -> dict[str, Any]:
    """Check a tower's configuration and fill in its defaults."""
    values = read_keys(_TOWER, config, where)
    check_layers(values, ("num_hidden_layers",), limits, where)
    return values


def state_count(config: Mapping[str, Any]) -> int:
    """Return how many states a picture has: one for each patch, and the first for the whole.

    >>> state_count({"image_size": 224, "patch_size": 14})
    257
    """
    return int(config["image_size"] // config["patch_size"]) ** 2 + 1


def _contract(config: Mapping[str, Any], dtype: str) -> Signature:
    size, channels = config["image_size"], config["num_channels"]
    return Signature(
        inputs=(TensorSpec("pixel_values", dtype, (None, channels, size, size)),),
        outputs=(
            TensorSpec("image_embeds", dtype, (None, config["projection_dim"])),
            TensorSpec("penultimate_hidden_state", dtype, (None, state_count(config), config["hidden_size"])),
        ),
    )


IMAGE_ENCODER = Component(
    name="image_encoder",
    folder="image_encoder",
    classes=("CLIPVisionModelWithProjection",),
    keys=complete_tower,
    contract=_contract,
    roots=("vision_model.", "visual_projection."),
    # CLIP's other tower, for texts
    others=("text_model.", "text_projection."),
    backends=("numpy", "torch"),
)

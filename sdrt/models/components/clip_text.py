"""CLIP's text encoders: one in Stable Diffusion 1.x and 2.x, two in XL."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.limits import Limits
from sdrt.models.components.keys import COUNT, EPSILON, ID, NAME, SIDE, Key, check_layers, optional, read_keys
from sdrt.models.components.record import Component, PackageNames
from sdrt.values import Integer, ListOf, Nullable

__all__ = ["TEXT_ENCODER", "TEXT_ENCODER_2", "pooled_width"]

# Of CLIPTextConfig in transformers 5.23.
_KEYS: Mapping[str, Key] = {
    "architectures": Key(Nullable(ListOf(NAME))),
    "vocab_size": Key(Integer(1, 2**24, whole_floats=True), 49408),
    "hidden_size": Key(COUNT, 512),
    "projection_dim": Key(COUNT, 512),
    "intermediate_size": Key(COUNT, 2048),
    "num_hidden_layers": Key(COUNT, 12),
    "num_attention_heads": Key(COUNT, 8),
    "max_position_embeddings": Key(SIDE, 77),
    "hidden_act": Key(NAME, "quick_gelu"),
    "layer_norm_eps": Key(EPSILON, 1e-5),
    "bos_token_id": optional(ID, 49406),
    "eos_token_id": Key(ID, 49407),
}
_PROJECTING = "CLIPTextModelWithProjection"


def pooled_width(config: Mapping[str, Any]) -> int:
    """Return the width of the pooled state: that of the projection, or that of the other states."""
    projects = _PROJECTING in (config.get("architectures") or ())
    return int(config["projection_dim"] if projects else config["hidden_size"])


def _complete(config: Mapping[str, Any], where: str, limits: Limits) -> dict[str, Any]:
    values = read_keys(_KEYS, config, where)
    check_layers(values, ("num_hidden_layers",), limits, where)
    return values


def _contract(config: Mapping[str, Any], dtype: str) -> Signature:
    length, states = config["max_position_embeddings"], (None, None, config["hidden_size"])
    return Signature(
        inputs=(TensorSpec("input_ids", "int32", (None, frozenset(range(1, length + 1)))),),
        outputs=(
            TensorSpec("last_hidden_state", dtype, states),
            TensorSpec("penultimate_hidden_state", dtype, states),
            TensorSpec("pooled", dtype, (None, pooled_width(config))),
        ),
    )


def _canonical_name(stored: str) -> str:
    """Remove the prefix that transformers 4 wrote.

    >>> _canonical_name("text_model.final_layer_norm.weight")
    'final_layer_norm.weight'
    """
    return stored.removeprefix("text_model.")


_ROOTS = ("text_model.", "embeddings.", "encoder.", "final_layer_norm.", "text_projection.")
# CLIP's other tower, for pictures
_TOWER = ("vision_model.", "visual_projection.")

TEXT_ENCODER = Component(
    name="text_encoder",
    folder="text_encoder",
    packages=(PackageNames(role="text_encoder", suffix="text_encoder", resources=("TextEncoder",)),),
    classes=("CLIPTextModel", _PROJECTING),
    keys=_complete,
    contract=_contract,
    canonical_name=_canonical_name,
    roots=_ROOTS,
    # Stable Diffusion 1.x and 2.x take no projected state
    others=(*_TOWER, "text_projection."),
)
TEXT_ENCODER_2 = Component(
    name="text_encoder_2",
    folder="text_encoder_2",
    packages=(PackageNames(role="text_encoder_2", suffix="text_encoder_2", resources=("TextEncoder2",)),),
    classes=("CLIPTextModel", _PROJECTING),
    keys=_complete,
    contract=_contract,
    canonical_name=_canonical_name,
    roots=_ROOTS,
    others=_TOWER,
)

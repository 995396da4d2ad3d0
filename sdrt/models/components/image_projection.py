"""The networks at the front of IP-Adapters: they turn what CLIP sees in a picture into tokens that a U-Net attends to.

``ImageProjection`` takes the picture's embedding; the resampler of "plus" adapters and the network of "full face" take all states of the
last layer but one.

Source: Ye et al. 2023 (arXiv:2308.06721), section 3.2; diffusers 0.42.1 ``models/embeddings.py``.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.models.components.keys import COUNT, Key, read_keys
from sdrt.models.components.record import Component
from sdrt.printable import shown
from sdrt.values import Number

__all__ = ["FULL", "IMAGE_PROJECTION", "PLAIN", "PLUS", "input_width", "takes_states", "token_width"]

# diffusers' names of the three classes.
PLAIN, PLUS, FULL = "ImageProjection", "IPAdapterPlusImageProjection", "IPAdapterFullImageProjection"

# Of the classes' constructors in diffusers 0.42.1.
_KEYS: Mapping[str, Mapping[str, Key]] = {
    PLAIN: {"image_embed_dim": Key(COUNT, 768), "cross_attention_dim": Key(COUNT, 768), "num_image_text_embeds": Key(COUNT, 32)},
    PLUS: {
        "embed_dims": Key(COUNT, 768),
        "output_dims": Key(COUNT, 1024),
        "hidden_dims": Key(COUNT, 1280),
        "depth": Key(COUNT, 4),
        "dim_head": Key(COUNT, 64),
        "heads": Key(COUNT, 16),
        "num_queries": Key(COUNT, 8),
        "ffn_ratio": Key(Number(0.0, 1e3, above=True), 4),
    },
    FULL: {"image_embed_dim": Key(COUNT, 1024), "cross_attention_dim": Key(COUNT, 1024)},
}


def takes_states(config: Mapping[str, Any]) -> bool:
    """Return whether it takes all states of a picture, and not its embedding."""
    return bool(config["_class_name"] != PLAIN)


def input_width(config: Mapping[str, Any]) -> int:
    """Return the width of what it takes."""
    return int(config["embed_dims" if config["_class_name"] == PLUS else "image_embed_dim"])


def token_width(config: Mapping[str, Any]) -> int:
    """Return the width of its tokens, that of the texts which a U-Net attends to."""
    return int(config["output_dims" if config["_class_name"] == PLUS else "cross_attention_dim"])


def _complete(config: Mapping[str, Any], where: str, limits: Limits) -> dict[str, Any]:
    name = config.get("_class_name")
    if not isinstance(name, str) or name not in _KEYS:
        raise ConfigError(f"{where}: the class of an image projection must be one of {', '.join(_KEYS)}, got {shown(name)}; correct it")
    values = read_keys(_KEYS[name], config, where)
    limits.check("layers", f"{where}: depth", values.get("depth", 1), ConfigError)
    return values


def _contract(config: Mapping[str, Any], dtype: str) -> Signature:
    width = input_width(config)
    taken = TensorSpec("image_embeds", dtype, (None, width))
    tokens: int | None = config.get("num_image_text_embeds")
    if takes_states(config):
        taken = TensorSpec("penultimate_hidden_state", dtype, (None, None, width))
        # that of "full face" makes a token of each state
        tokens = config.get("num_queries")
    return Signature(inputs=(taken,), outputs=(TensorSpec("image_tokens", dtype, (None, tokens, token_width(config))),))


IMAGE_PROJECTION = Component(
    name="image_projection",
    folder="image_projection",
    classes=(PLAIN, PLUS, FULL),
    keys=_complete,
    contract=_contract,
    roots=("image_embeds.", "norm.", "latents", "proj_in.", "proj_out.", "norm_out.", "layers.", "ff."),
    backends=("numpy", "torch"),
)

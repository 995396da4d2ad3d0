"""CLIP text encoders in a checkpoint, as OpenAI's (transformers' names) or as open_clip writes them: names and configurations.

Source: ``src/open_clip/transformer.py`` of mlfoundations/open_clip (the writer's names: queries, keys and values in one projection, and
``text_projection`` multiplied from the right), ``models/clip/modeling_clip.py`` of transformers 5.23 (ours).
"""

import re
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.models.original.down_path import Shapes
from sdrt.models.stored_tensor import Form, Place

__all__ = ["clip_config", "clip_places", "open_clip_config", "open_clip_places"]

_VOCABULARY = 49408  # the checkpoints bring no vocabulary: it is CLIP's own, whose last two tokens begin and end a prompt
_HEAD_CHANNELS = 64  # of each head, in every text encoder of Stable Diffusion

_OPEN_CLIP = {
    "positional_embedding": Place("embeddings.position_embedding.weight"),
    "token_embedding.weight": Place("embeddings.token_embedding.weight"),
    "ln_final.weight": Place("final_layer_norm.weight"),
    "ln_final.bias": Place("final_layer_norm.bias"),
    "text_projection": Place("text_projection.weight", "transposed"),
    # as some converters write it, the other way round
    "text_projection.weight": Place("text_projection.weight"),
}
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)")
_BLOCK_LAYERS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_JOINT = re.compile(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")
_THIRDS: dict[str, Form] = {"q_proj": "query", "k_proj": "key", "v_proj": "value"}


def clip_places(stored: str) -> tuple[Place, ...]:
    """Return where a tensor of OpenAI's CLIP is found, its prefix cut off: nowhere for ``position_ids``, which hold 0 to 76.

    >>> clip_places("text_model.final_layer_norm.bias")
    (Place(name='final_layer_norm.bias', form='whole'),)
    """
    name = stored.removeprefix("text_model.")
    return () if name == "embeddings.position_ids" else (Place(name),)


def open_clip_places(stored: str, layers: int, max_layers: int | None) -> tuple[Place, ...] | None:
    """Return where a tensor of open_clip is found, its prefix cut off; None if the text encoder has no such tensor.

    Parameters
    ----------
    stored : str
    layers : int
        The layers that are used.
    max_layers : int or None
        As of `open_clip_config`: the layer with this number is nowhere, and so is the projection.

    >>> [place.name for place in open_clip_places("transformer.resblocks.0.attn.in_proj_bias", 23, 23)]
    ['encoder.layers.0.self_attn.q_proj.bias', 'encoder.layers.0.self_attn.k_proj.bias', 'encoder.layers.0.self_attn.v_proj.bias']
    """
    if max_layers is not None and stored.startswith(("text_projection", f"transformer.resblocks.{max_layers}.")):
        return ()
    if stored in _OPEN_CLIP:
        return (_OPEN_CLIP[stored],)
    if (match := _JOINT.fullmatch(stored)) and int(match[1]) < layers:
        return tuple(Place(f"encoder.layers.{match[1]}.self_attn.{name}.{match[2]}", form) for name, form in _THIRDS.items())
    if (match := _BLOCK.fullmatch(stored)) and int(match[1]) < layers and match[2] in _BLOCK_LAYERS:
        return (Place(f"encoder.layers.{match[1]}.{_BLOCK_LAYERS[match[2]]}.{match[3]}"),)
    return None


def clip_config(file: Path, shapes: Shapes) -> dict[str, Any]:
    """Derive the configuration of OpenAI's CLIP from its shapes.

    Raises
    ------
    ModelError : a tensor is missing, or the vocabulary is not CLIP's
    """
    plain = {name.removeprefix("text_model."): shape for name, shape in shapes.items()}
    layers = sum(re.fullmatch(r"encoder\.layers\.\d+\.mlp\.fc1\.weight", name) is not None for name in plain)
    table, positions = plain.get("embeddings.token_embedding.weight"), plain.get("embeddings.position_embedding.weight")
    inner = plain.get("encoder.layers.0.mlp.fc1.weight")
    return _config(file, table, positions, inner, layers) | {
        "architectures": ["CLIPTextModel"],
        "hidden_act": "quick_gelu",
        "projection_dim": (table or (0, 0))[1],
    }


def open_clip_config(file: Path, shapes: Shapes, max_layers: int | None) -> dict[str, Any]:
    """Derive the configuration of open_clip's encoder from its shapes.

    Parameters
    ----------
    file : Path
        For messages.
    shapes : mapping
    max_layers : int or None
        Stable Diffusion 2.x was trained on the last layer but one: 23, which leaves out layer 23, and the pooled state is not projected.
        None: all are used, and it is (XL).

    Raises
    ------
    ModelError : a tensor is missing, or the vocabulary is not CLIP's
    """
    numbers = [int(match[1]) for name in shapes if (match := re.fullmatch(r"transformer\.resblocks\.(\d+)\.mlp\.c_fc\.weight", name))]
    layers = sum(max_layers is None or number < max_layers for number in numbers)
    table, positions = shapes.get("token_embedding.weight"), shapes.get("positional_embedding")
    config = _config(file, table, positions, shapes.get("transformer.resblocks.0.mlp.c_fc.weight"), layers) | {"hidden_act": "gelu"}
    if max_layers is not None:
        return config | {"architectures": ["CLIPTextModel"]}
    places = {name: place.shape(shapes[name]) for name, place in _OPEN_CLIP.items() if name in shapes}
    projection = places.get("text_projection") or places.get("text_projection.weight")
    if projection is None:
        raise ModelError(f"{file}: the text encoder's text_projection is missing; the file is no whole checkpoint of Stable Diffusion XL")
    return config | {"architectures": ["CLIPTextModelWithProjection"], "projection_dim": projection[0]}


def _config(
    file: Path, table: tuple[int, ...] | None, positions: tuple[int, ...] | None, inner: tuple[int, ...] | None, layers: int
) -> dict[str, Any]:
    if table is None or positions is None or inner is None:
        raise ModelError(f"{file}: the text encoder's embeddings or first layer are missing; the file is no whole checkpoint")
    if table[0] != _VOCABULARY:
        raise ModelError(f"{file}: the text encoder must know CLIP's {_VOCABULARY} tokens, got {table[0]}; pass a model folder")
    return {
        "vocab_size": table[0],
        "hidden_size": table[1],
        "intermediate_size": inner[0],
        "num_hidden_layers": layers,
        "num_attention_heads": max(table[1] // _HEAD_CHANNELS, 1),
        "max_position_embeddings": positions[0],
        "layer_norm_eps": 1e-5,
        "bos_token_id": _VOCABULARY - 2,
        "eos_token_id": _VOCABULARY - 1,
    }

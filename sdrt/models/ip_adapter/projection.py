"""The image projection of an IP-Adapter's file: its kind and sizes by its tensors, and diffusers' name of each.

Files have the names of the original code (tencent-ailab/IP-Adapter, ``ip_adapter.py`` and ``resampler.py``); a resampler's may have
diffusers' already.

Source: diffusers 0.42.1 ``UNet2DConditionLoadersMixin._convert_ip_adapter_image_proj_to_diffusers``.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.models.components.image_projection import FULL, PLAIN, PLUS
from sdrt.models.original.down_path import Shapes
from sdrt.models.stored_tensor import Form, Place

__all__ = ["places", "projection_config"]

_HEAD = 64  # numbers of a resampler's head, which no tensor tells

# Tensors by which other kinds of adapters are known, and what these need.
_OTHERS = {
    "perceiver_resampler.proj_in.weight": "FaceID Plus",
    "norm.weight": "FaceID",
}
_LAYER = re.compile(r"layers\.(\d+)\.(.+)")
# Of a resampler's layer in the original code: norms and products of the attention, then norm and products of the feed-forward.
_IN_LAYER: Mapping[str, tuple[tuple[str, Form], ...]] = {
    "0.norm1": (("ln0", "whole"),),
    "0.norm2": (("ln1", "whole"),),
    "0.to_q": (("attn.to_q", "whole"),),
    "0.to_kv": (("attn.to_k", "first half"), ("attn.to_v", "second half")),
    "0.to_out": (("attn.to_out.0", "whole"),),
    "1.0": (("ff.0", "whole"),),
    "1.1": (("ff.1.net.0.proj", "whole"),),
    "1.3": (("ff.1.net.2", "whole"),),
    # diffusers' own halves of what the original keeps together
    "attn.to_kv": (("attn.to_k", "first half"), ("attn.to_v", "second half")),
}
_FULL: Mapping[str, str] = {"proj.0": "ff.net.0.proj", "proj.2": "ff.net.2", "proj.3": "norm"}


def projection_config(file: Path, shapes: Shapes) -> dict[str, Any]:
    """Derive a configuration from the shapes of the tensors below ``image_proj.``.

    Raises
    ------
    ModelError : of another kind of adapter, or of none
    """
    if "proj.weight" in shapes:
        needed = {"proj.weight": 2, "norm.weight": 1}
    elif "proj.3.weight" in shapes:
        needed = {"proj.0.weight": 2, "proj.3.weight": 1}
    elif "latents" in shapes:
        needed = {"latents": 3, "proj_in.weight": 2, "proj_out.weight": 2}
    else:
        raise _refused(file, shapes)
    for name, axes in needed.items():
        if len(shapes.get(name, ())) != axes or not all(shapes[name]):
            got = list(shapes[name]) if name in shapes else "none"
            raise ModelError(f"{file}: image_proj.{name} must be a tensor of {axes} axes, got {got}; the file is damaged, fetch it again")
    if "proj.weight" in shapes:
        (joint, size_in), (width,) = shapes["proj.weight"], shapes["norm.weight"]
        sizes = {"image_embed_dim": size_in, "cross_attention_dim": width, "num_image_text_embeds": max(1, joint // width)}
        return {"_class_name": PLAIN, **sizes}
    if "proj.3.weight" in shapes:
        return {"_class_name": FULL, "image_embed_dim": shapes["proj.0.weight"][1], "cross_attention_dim": shapes["proj.3.weight"][0]}
    return {"_class_name": PLUS, **_resampler_sizes(file, shapes)}


def _resampler_sizes(file: Path, shapes: Shapes) -> dict[str, Any]:
    depth = 1 + max((int(match[1]) for name in shapes if (match := _LAYER.fullmatch(name))), default=-1)
    places_of = {place.name: shape for name, shape in shapes.items() for place in places(PLUS, name) or ()}
    queries, inner = places_of.get("layers.0.attn.to_q.weight", ()), places_of.get("layers.0.ff.1.net.0.proj.weight", ())
    _, count, hidden = shapes["latents"]
    if not depth or len(queries) != 2 or queries[0] % _HEAD or not queries[0] or len(inner) != 2:
        raise ModelError(
            f"{file}: a resampler must have layers with heads of {_HEAD} numbers, got {depth} with queries of shape {list(queries)}; "
            "the file is of another kind, or damaged"
        )
    return {
        "embed_dims": shapes["proj_in.weight"][1],
        "output_dims": shapes["proj_out.weight"][0],
        "hidden_dims": hidden,
        "depth": depth,
        "dim_head": _HEAD,
        "heads": queries[0] // _HEAD,
        "num_queries": count,
        "ffn_ratio": inner[0] / hidden,
    }


def _refused(file: Path, shapes: Shapes) -> ModelError:
    known = "plain, 'plus' and 'full face' adapters of Stable Diffusion 1.x, 2.x and XL"
    for mark, kind in _OTHERS.items():
        if mark in shapes:
            return ModelError(
                f"{file}: is an IP-Adapter {kind}, which needs a network for faces that sdrt does not have; pass one of: {known}"
            )
    got = f"image_proj.{next(iter(sorted(shapes)))}" if shapes else "no tensor below image_proj."
    return ModelError(f"{file}: must be an IP-Adapter ({known}), got {got}; pass another file")


def places(class_name: str, plain: str) -> Iterable[Place] | None:
    """Return where a tensor below ``image_proj.`` is found in the network; None where it has no such tensor."""
    module, _, kind = plain.rpartition(".")
    if class_name == PLAIN:
        return (Place(plain.replace("proj", "image_embeds", 1)),)
    if class_name == FULL:
        return (Place(f"{_FULL[module]}.{kind}"),) if module in _FULL else None
    if (match := _LAYER.fullmatch(module)) and match[2] in _IN_LAYER:
        return tuple(Place(f"layers.{match[1]}.{name}.{kind}", form) for name, form in _IN_LAYER[match[2]])
    return (Place(plain),)

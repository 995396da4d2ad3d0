"""Scales that some writers keep beside weights of eight bits.

Source: ComfyUI's layout ``scaled_fp8`` (``comfy/ops.py``): a matrix ``x.weight`` in eight bits stands for ``x.weight * x.scale_weight``.
"""

from collections.abc import Iterable
from dataclasses import replace

from sdrt.models.float8 import FLOAT8
from sdrt.models.stored_tensor import StoredTensor

__all__ = ["with_scales"]

# What a scale of ``x.weight`` is called: by ComfyUI, and by the writers of compressed-tensors.
_SCALES = ("scale_weight", "weight_scale")
# Scales of the activations, for products in eight bits: here products are of whole floats.
_INPUT_SCALES = ("scale_input", "input_scale")


def with_scales(tensors: Iterable[StoredTensor]) -> list[StoredTensor]:
    """Join each scale with the tensor that it scales; scales of activations are left out.

    A scale that belongs to no tensor in eight bits stays a tensor by itself.
    """
    tensors = list(tensors)
    if not any(tensor.dtype in FLOAT8 for tensor in tensors):
        return tensors
    named = {tensor.name: tensor for tensor in tensors}
    for name, tensor in list(named.items()):
        module, _, kind = name.rpartition(".")
        weight = named.get(f"{module}.weight")
        if weight is None or weight.dtype not in FLOAT8 or kind not in (*_SCALES, *_INPUT_SCALES):
            continue
        del named[name]
        if kind in _SCALES:
            named[weight.name] = replace(weight, scale=tensor)
    return list(named.values())

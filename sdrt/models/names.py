"""Tensor names: the spellings that are found on disk, brought to one.

Canonical are the names of diffusers 0.42's and transformers 5's own modules: text encoders without the ``text_model.`` prefix (which
transformers 4 wrote), the safety checker's tower below one ``vision_model.`` (two in transformers 4), VAE attention as
``to_q / to_k / to_v / to_out.0`` (``query / key / value / proj_attn`` before diffusers 0.12).
"""

import re

from sdrt.models.components import ComponentName

__all__ = ["canonical_name"]

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD_ATTENTION_NAME = re.compile(r"(.*\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")


def canonical_name(component: ComponentName, stored: str) -> str:
    """The canonical name of a tensor of ``component``.

    >>> canonical_name("text_encoder", "text_model.final_layer_norm.weight")
    'final_layer_norm.weight'
    >>> canonical_name("vae_decoder", "decoder.mid_block.attentions.0.proj_attn.bias")
    'decoder.mid_block.attentions.0.to_out.0.bias'
    """
    if component in ("text_encoder", "text_encoder_2"):
        return stored.removeprefix("text_model.")
    if component == "safety_checker":
        return stored.replace("vision_model.vision_model.", "vision_model.", 1)
    if component in ("vae_decoder", "vae_encoder") and (old := _OLD_ATTENTION_NAME.fullmatch(stored)):
        return f"{old[1]}.{_OLD_ATTENTION[old[2]]}.{old[3]}"
    return stored

"""A VAE below ``first_stage_model.``, or without a prefix: its names, and its configuration out of its shapes.

Source: ``ldm/modules/diffusionmodules/model.py`` of CompVis/stable-diffusion (the writer's names: the decoder counts its levels from the
picture inwards), ``models/autoencoders/vae.py`` of diffusers 0.42.1 (ours: from the latents outwards).
"""

import re
from pathlib import Path
from typing import Any

from sdrt.models.components.autoencoder_shapes import autoencoder_config
from sdrt.models.original.down_path import Shapes
from sdrt.models.stored_tensor import Form, Place

__all__ = ["vae_config", "vae_levels", "vae_place"]

_BLOCK = re.compile(r"(encoder|decoder)\.(?:down|up)\.(\d+)\.block\.(\d+)\.(.+)")
_SAMPLER = re.compile(r"(encoder|decoder)\.(?:down|up)\.(\d+)\.(down|up)sample\.conv\.(weight|bias)")
_MIDDLE_BLOCK = re.compile(r"(encoder|decoder)\.mid\.block_([12])\.(.+)")
_MIDDLE_ATTENTION = re.compile(r"(encoder|decoder)\.mid\.attn_1\.(.+)\.(weight|bias)")
_ENDS = re.compile(r"(encoder|decoder)\.(conv_in|conv_out|norm_out)\.(weight|bias)|(?:post_)?quant_conv\.(?:weight|bias)")

# The original names, and those of diffusers, before 0.12 and since, which scripts that convert to this layout leave inside it.
_ATTENTION = {
    **dict.fromkeys(("norm", "group_norm"), "group_norm"),
    **dict.fromkeys(("q", "to_q", "query"), "to_q"),
    **dict.fromkeys(("k", "to_k", "key"), "to_k"),
    **dict.fromkeys(("v", "to_v", "value"), "to_v"),
    **dict.fromkeys(("proj_out", "to_out.0", "to_out", "proj_attn"), "to_out.0"),
}


def vae_place(stored: str, levels: int) -> Place | None:
    """Return where a tensor is found, its prefix cut off; None if a VAE has no such tensor.

    Parameters
    ----------
    stored : str
    levels : int

    >>> vae_place("decoder.up.3.block.0.nin_shortcut.bias", levels=4).name
    'decoder.up_blocks.0.resnets.0.conv_shortcut.bias'
    >>> vae_place("encoder.mid.attn_1.q.weight", levels=4)
    Place(name='encoder.mid_block.attentions.0.to_q.weight', form='matrix')
    >>> vae_place("encoder.mid.attn_1.proj_attn.bias", levels=4).name
    'encoder.mid_block.attentions.0.to_out.0.bias'
    """
    if match := _BLOCK.fullmatch(stored):
        return Place(f"{_level(match[1], int(match[2]), levels)}.resnets.{match[3]}.{_resnet(match[4])}")
    if match := _SAMPLER.fullmatch(stored):
        return Place(f"{_level(match[1], int(match[2]), levels)}.{match[3]}samplers.0.conv.{match[4]}")
    if match := _MIDDLE_BLOCK.fullmatch(stored):
        return Place(f"{match[1]}.mid_block.resnets.{int(match[2]) - 1}.{_resnet(match[3])}")
    if (match := _MIDDLE_ATTENTION.fullmatch(stored)) and match[2] in _ATTENTION:
        # its projections are convolutions over one pixel there, matrices here
        module = _ATTENTION[match[2]]
        form: Form = "matrix" if module != "group_norm" and match[3] == "weight" else "whole"
        return Place(f"{match[1]}.mid_block.attentions.0.{module}.{match[3]}", form)
    if match := _ENDS.fullmatch(stored):
        return Place(stored.replace(".norm_out.", ".conv_norm_out."))
    return None


def vae_levels(shapes: Shapes) -> int:
    """Count the levels of the decoder."""
    blocks = (_BLOCK.fullmatch(name) for name in shapes)
    return 1 + max((int(match[2]) for match in blocks if match and match[1] == "decoder"), default=-1)


def vae_config(file: Path, shapes: Shapes, scaling_factor: float) -> dict[str, Any]:
    """Derive the configuration from the shapes under the original names, see `autoencoder_config`."""
    levels = vae_levels(shapes)
    places = {name: vae_place(name, levels) for name in shapes}
    return autoencoder_config(file, {place.name: shapes[name] for name, place in places.items() if place}, scaling_factor)


def _level(half: str, level: int, levels: int) -> str:
    return f"encoder.down_blocks.{level}" if half == "encoder" else f"decoder.up_blocks.{levels - 1 - level}"


def _resnet(name: str) -> str:
    return name.replace("nin_shortcut", "conv_shortcut")

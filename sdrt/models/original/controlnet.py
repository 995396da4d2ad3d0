"""A ControlNet below ``control_model.``, or without a prefix: its names, and its configuration out of its shapes.

Source: ``cldm/cldm.py`` of lllyasviel/ControlNet (the writer's names), ``models/controlnets/controlnet.py`` of diffusers 0.42.1 (ours).
"""

import re
from pathlib import Path
from typing import Any

from sdrt.models.original.down_path import DownPath, Shapes, shared_name

__all__ = ["controlnet_config", "controlnet_name"]

_ZERO_CONV = re.compile(r"zero_convs\.(\d+)\.0\.(weight|bias)")
_MIDDLE_OUT = re.compile(r"middle_block_out\.0\.(weight|bias)")
_HINT = re.compile(r"input_hint_block\.(\d+)\.(weight|bias)")


def hint_layers(shapes: Shapes) -> list[int]:
    """Return the indices of the convolutions that embed the picture, in order; activations stand between them."""
    return sorted(int(match[1]) for name in shapes if (match := _HINT.fullmatch(name)) and match[2] == "weight")


def controlnet_name(stored: str, layers: int, last_hint: int) -> str | None:
    """Return the canonical name of a tensor, its prefix cut off; None if a ControlNet has no such tensor.

    Parameters
    ----------
    stored : str
    layers : int
        Residual blocks of a level.
    last_hint : int
        The index of the last convolution that embeds the picture (14).

    >>> controlnet_name("input_hint_block.4.bias", 2, 14), controlnet_name("zero_convs.3.0.weight", 2, 14)
    ('controlnet_cond_embedding.blocks.1.bias', 'controlnet_down_blocks.3.weight')
    """
    if match := _HINT.fullmatch(stored):
        at = int(match[1])
        module = "conv_in" if at == 0 else "conv_out" if at == last_hint else f"blocks.{at // 2 - 1}"
        return f"controlnet_cond_embedding.{module}.{match[2]}"
    if match := _ZERO_CONV.fullmatch(stored):
        return f"controlnet_down_blocks.{match[1]}.{match[2]}"
    if match := _MIDDLE_OUT.fullmatch(stored):
        return f"controlnet_mid_block.{match[1]}"
    return shared_name(stored, layers)


def controlnet_config(file: Path, shapes: Shapes) -> dict[str, Any]:
    """Derive the configuration from the shapes.

    Raises
    ------
    ModelError : another architecture
    """
    hints = hint_layers(shapes)
    return {
        "_class_name": "ControlNetModel",
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "conditioning_channels": shapes["input_hint_block.0.weight"][1],
        # each second convolution widens, and the last one leads to the U-Net's width
        "conditioning_embedding_out_channels": [shapes[f"input_hint_block.{at}.weight"][0] for at in hints[:-1:2]],
        **DownPath.read(file, shapes).config(),
    }

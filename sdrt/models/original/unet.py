"""A U-Net below ``model.diffusion_model.``: its names, and its configuration out of its shapes.

Level k of the way up is ``output_blocks`` k·(layers + 1) and the following, with one block more than on the way down. It mirrors the way
down in the models of Stability AI; pruned ones (SSD-1B) have other depths there.
"""

import re
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.models.components.text_time import BASE_NUMBERS, REFINER_NUMBERS, text_time_config
from sdrt.models.original.down_path import DownPath, Shapes, as_config, block_name, level_depth, shared_name, transformer_depths

__all__ = ["unet_config", "unet_name"]

_OUT = {"out.0": "conv_norm_out", "out.2": "conv_out"}
_UP = re.compile(r"output_blocks\.(\d+)\.\d+\.(.+)")


def unet_name(stored: str, layers: int) -> str | None:
    """Return the canonical name of a tensor, its prefix cut off; None if the U-Net has no such tensor.

    >>> unet_name("output_blocks.2.1.conv.weight", layers=2), unet_name("out.2.bias", layers=2)
    ('up_blocks.0.upsamplers.0.conv.weight', 'conv_out.bias')
    """
    module, _, kind = stored.rpartition(".")
    if module in _OUT:
        return f"{_OUT[module]}.{kind}"
    if match := _UP.fullmatch(stored):
        level, at = divmod(int(match[1]), layers + 1)
        return f"up_blocks.{level}.{block_name(match[2], at)}"
    return shared_name(stored, layers)


def unet_config(file: Path, shapes: Shapes, pooled_dim: int | None = None, *, linear: bool | None = None) -> dict[str, Any]:
    """Derive the configuration from the shapes.

    Parameters
    ----------
    file : Path
        For messages.
    shapes : mapping
    pooled_dim : int or None
        Of Stable Diffusion XL: the width of the pooled text, by which the rest of its condition is six numbers or five.
    linear : bool or None
        As of `DownPath.read`.

    Raises
    ------
    ModelError : another architecture
    """
    down = DownPath.read(file, shapes, linear=linear)
    layers = down.layers
    depths = transformer_depths(shapes)
    levels = range(0, len(down.widths) * (layers + 1), layers + 1)
    up = [level_depth(file, [depths.get(f"output_blocks.{block}", 0) for block in range(at, at + layers + 1)]) for at in levels]
    config = {
        "_class_name": "UNet2DConditionModel",
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        **down.config(),
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in up],
    }
    if tuple(up) != down.depths[::-1] or any(isinstance(depth, tuple) for depth in up):
        config["reverse_transformer_layers_per_block"] = [as_config(depth or 1) for depth in up]
    return config | _condition(file, shapes, pooled_dim)


def _condition(file: Path, shapes: Shapes, pooled_dim: int | None) -> dict[str, Any]:
    """Derive what is added to the time embedding in Stable Diffusion XL."""
    embedded = shapes.get("label_emb.0.0.weight")
    if embedded is None and pooled_dim is None:
        return {}
    rest = 0 if embedded is None or pooled_dim is None else embedded[1] - pooled_dim
    each = next(
        (rest // count for count in (BASE_NUMBERS, REFINER_NUMBERS) if rest > 0 and rest % count == 0 and _is_power_of_two(rest // count)),
        None,
    )
    if embedded is None or each is None:
        raise ModelError(
            f"{file}: its U-Net is conditioned on {embedded and embedded[1]} numbers beside the text (label_emb), and the pooled text has "
            f"{pooled_dim}; sdrt runs Stable Diffusion XL's, not image variations (unCLIP) or upscalers"
        )
    return text_time_config(embedded[1] - rest, rest // each, each)


def _is_power_of_two(n: int) -> bool:
    return n.bit_count() == 1

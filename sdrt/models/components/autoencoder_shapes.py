"""The configuration of an autoencoder out of the shapes of its tensors, for files that come without one."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError

__all__ = ["autoencoder_config"]

_GROUPS = 32  # of every norm, in every autoencoder of Stable Diffusion


def autoencoder_config(file: Path, shapes: Mapping[str, tuple[int, ...]], scaling_factor: float) -> dict[str, Any]:
    """Derive the configuration.

    Parameters
    ----------
    file : Path
        For messages.
    shapes : mapping from canonical name to shape
    scaling_factor : float
        Stands in no tensor: 0.18215 of Stable Diffusion 1.x and 2.x, 0.13025 of XL.

    Raises
    ------
    ModelError : a half is missing, or another architecture
    """
    for half in ("encoder", "decoder"):
        if not any(name.startswith(f"{half}.") for name in shapes):
            raise ModelError(f"{file}: the {half} of its VAE is missing; pass a file that holds both halves")
    levels = len({match[1] for name in shapes if (match := re.match(r"decoder\.up_blocks\.(\d+)\.", name))})
    widths = [shapes.get(f"encoder.down_blocks.{level}.resnets.0.conv1.weight", (0,))[0] for level in range(levels)]
    layers = sum(re.fullmatch(r"encoder\.down_blocks\.0\.resnets\.\d+\.conv1\.weight", name) is not None for name in shapes)
    ends = [shapes.get(f"{name}.weight", ()) for name in ("encoder.conv_in", "decoder.conv_in", "decoder.conv_out")]
    if not levels or not layers or any(not width or width % _GROUPS for width in widths) or any(len(shape) != 4 for shape in ends):
        raise ModelError(f"{file}: its VAE has {levels} levels of {widths} channels and {layers} blocks; not one of Stable Diffusion's")
    if not any(".mid_block.attentions.0." in name for name in shapes):
        raise ModelError(
            f"{file}: the attention in the middle of its VAE is missing; pass a folder whose config.json says that it has none"
        )
    encoder_in, decoder_in, decoder_out = ends
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": encoder_in[1],
        "out_channels": decoder_out[0],
        "latent_channels": decoder_in[1],
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "norm_num_groups": _GROUPS,
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "mid_block_add_attention": True,
        "scaling_factor": scaling_factor,
    }

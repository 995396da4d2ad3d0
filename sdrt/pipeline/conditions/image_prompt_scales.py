"""How much an image prompt counts in each cross-attention of a U-Net: one number for all, or some by block (InstantStyle).

Source: Wang et al. 2024 (arXiv:2404.02733), section 3.2; diffusers 0.42.1 ``set_ip_adapter_scale``, in which what a mapping does not name
counts nothing.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.models.components.cross_attentions import cross_attentions
from sdrt.printable import shown

__all__ = ["BlockScales", "scale_of_each_attention"]

# {"down": {"block_2": [0.0, 1.0]}, "mid": 0.5, "up": {"block_0": 1.0}}
BlockScales: TypeAlias = Mapping[str, Any]

_PATH = re.compile(r"(down|up|mid)_blocks?(?:\.(\d+))?\.attentions\.(\d+)\.")


def scale_of_each_attention(scale: float | BlockScales, unet: Mapping[str, Any]) -> F64:
    """Return the scale of each cross-attention, in their order: float64[attentions].

    Parameters
    ----------
    scale : float or mapping
        A mapping has "down", "mid" and "up"; each a number for all of its transformers, or (but for "mid") a mapping with "block_0" and so
        on; each of these a number, or a list with one for each transformer of the block.
    unet : mapping
        The U-Net's configuration.

    Raises
    ------
    ConfigError : a mapping that names what the U-Net does not have, or a list of another length

    >>> tiny = {"down_block_types": ["CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D"], "mid_block_type": None}
    >>> tiny |= {"layers_per_block": 1, "transformer_layers_per_block": 1, "reverse_transformer_layers_per_block": None}
    >>> scale_of_each_attention({"up": {"block_0": [0.5, 1]}}, tiny).tolist()
    [0.0, 0.5, 1.0]
    """
    paths = [match.groups() for path in cross_attentions(unet) if (match := _PATH.match(path))]
    if not isinstance(scale, Mapping):
        return np.full(len(paths), float(scale))
    # the transformers of each block; the middle has one block without a number
    blocks: dict[tuple[str, str | None], int] = {}
    for part, block, transformer in paths:
        blocks[part, block] = max(blocks.get((part, block), 0), int(transformer) + 1)
    _check_names("parts", scale, {part for part, _ in blocks})
    for part, own in scale.items():
        if isinstance(own, Mapping):
            _check_names(f"blocks of {part!r}", own, {f"block_{block}" for each, block in blocks if each == part and block is not None})
    scales = {key: _of_block(scale.get(key[0], 0.0), *key, count) for key, count in blocks.items()}
    return np.array([scales[part, block][int(transformer)] for part, block, transformer in paths])


def _of_block(own: Any, part: str, block: str | None, count: int) -> list[float]:
    """Return the scale of each transformer of a block."""
    value = own.get(f"block_{block}", 0.0) if isinstance(own, Mapping) else own
    if not isinstance(value, list | tuple):
        return [float(value)] * count
    if len(value) not in (1, count):
        where = part if block is None else f"{part}.block_{block}"
        raise ConfigError(f"ip_adapter_scale of {where} must have {count} numbers, one a transformer, got {len(value)}; pass as many")
    return [float(each) for each in value] * (count // len(value))


def _check_names(what: str, given: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(given.keys() - known):
        raise ConfigError(
            f"ip_adapter_scale must name {what} that have transformers in this model ({', '.join(sorted(known)) or 'none'}), got "
            f"{shown(', '.join(unknown))}; leave it out"
        )

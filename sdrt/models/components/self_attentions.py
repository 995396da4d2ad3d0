"""The self-attentions of a U-Net, by their paths in diffusers."""

from collections.abc import Mapping
from typing import Any

from sdrt.models.components.cross_attentions import cross_attentions

__all__ = ["finest_self_attentions", "self_attentions"]


def self_attentions(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of the modules that attend to the picture alone, ``...attn1``: down, up, and the middle last.

    Parameters
    ----------
    config : mapping
        A U-Net's complete configuration. Levels that are ``only_cross_attention`` attend to the condition there.

    >>> tiny = {"down_block_types": ["CrossAttnDownBlock2D"], "up_block_types": ["UpBlock2D"], "mid_block_type": "UNetMidBlock2DCrossAttn"}
    >>> self_attentions({**tiny, "layers_per_block": 1, "transformer_layers_per_block": 1, "reverse_transformer_layers_per_block": None,
    ...                  "only_cross_attention": False})
    ('down_blocks.0.attentions.0.transformer_blocks.0.attn1', 'mid_block.attentions.0.transformer_blocks.0.attn1')
    """
    levels, only_cross = len(config["down_block_types"]), config["only_cross_attention"]
    flags = [only_cross] * levels if isinstance(only_cross, bool) else list(only_cross)
    paths = [path.removesuffix("attn2") + "attn1" for path in cross_attentions(config)]
    return tuple(path for path in paths if not _is_only_cross(path, flags))


def finest_self_attentions(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of those self-attentions that see the most pixels: of the first level that has any.

    Parameters
    ----------
    config : mapping
        A U-Net's complete configuration.
    """
    levels = len(config["down_block_types"])
    found = {path: _level(path, levels) for path in self_attentions(config)}
    return tuple(path for path, level in found.items() if level == min(found.values()))


def _is_only_cross(path: str, flags: list[bool]) -> bool:
    return not path.startswith("mid_block") and flags[_level(path, len(flags))]


def _level(path: str, levels: int) -> int:
    """Return the level at which a module stands, counted from the largest pictures."""
    place, number = path.split(".")[:2]
    if place == "mid_block":
        return levels - 1
    return int(number) if place == "down_blocks" else levels - 1 - int(number)

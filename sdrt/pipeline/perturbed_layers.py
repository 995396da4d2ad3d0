"""The self-attentions that perturbed-attention guidance perturbs, by diffusers' patterns.

Source: diffusers 0.42.1 ``PAGMixin._set_pag_attn_processor``: a pattern chooses each self-attention in whose path it is found, as a regular
expression. The older spelling of its documentation, ``down.block_1.attentions_0``, is understood too.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sdrt.errors import ConfigError
from sdrt.models.components.self_attentions import self_attentions
from sdrt.printable import shown

__all__ = ["perturbed_layers"]

# A record may come from anywhere, and what has neither repetitions nor many alternatives cannot take long to search.
_PATTERN = re.compile(r"[A-Za-z0-9_.()|\[\]^$\\-]+")
_MOST_ALTERNATIVES = 10


def perturbed_layers(patterns: Sequence[str], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of a U-Net's self-attentions that patterns choose, in the U-Net's order.

    Parameters
    ----------
    patterns : sequence of str
        ``"mid"``, ``"down_blocks.1"``, ``"up_blocks.(0|1).attentions.1"``.
    config : mapping
        The U-Net's complete configuration.

    Raises
    ------
    ConfigError : a pattern is no plain regular expression, or chooses nothing
    """
    paths = self_attentions(config)
    chosen = set[str]()
    for pattern in patterns:
        searched = _compiled(pattern)
        found = {path for path in paths if searched.search(path) or searched.search(_older(path))}
        if not found:
            blocks = dict.fromkeys(path.partition(".transformer_blocks")[0] for path in paths)
            raise ConfigError(
                f"pag_applied_layers must choose self-attentions of this model, got {shown(pattern)}, which chooses none; "
                f"there are {', '.join(blocks) or 'none'}"
            )
        chosen |= found
    return tuple(path for path in paths if path in chosen)


def _compiled(pattern: str) -> re.Pattern[str]:
    if _PATTERN.fullmatch(pattern) and pattern.count("|") <= _MOST_ALTERNATIVES:
        try:
            return re.compile(pattern)
        except re.error:
            pass
    raise ConfigError(
        "pag_applied_layers must be paths, or regular expressions without repetitions and with at most "
        f"{_MOST_ALTERNATIVES} alternatives, got {shown(pattern)}; write mid, down_blocks.1 or up_blocks.(0|1)"
    )


def _older(path: str) -> str:
    """Return a path in the older spelling.

    >>> _older("down_blocks.1.attentions.0.transformer_blocks.0.attn1"), _older("mid_block.attentions.0.transformer_blocks.0.attn1")
    ('down.block_1.attentions_0.transformer_blocks.0.attn1', 'mid.block_0.attentions_0.transformer_blocks.0.attn1')
    """
    path = path.replace("mid_block.", "mid.block_0.", 1)
    path = re.sub(r"^(down|up)_blocks\.(\d+)", r"\1.block_\2", path)
    return re.sub(r"attentions\.(\d+)", r"attentions_\1", path, count=1)

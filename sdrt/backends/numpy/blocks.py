"""Exchange the transformer blocks of a U-Net, by their paths in diffusers."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from sdrt.backends.numpy.stage import Stage
from sdrt.backends.numpy.transformer import TransformerBlock

__all__ = ["ChangeBlock", "with_blocks"]

# From the path of a block, and the block, to what stands in its place.
ChangeBlock: TypeAlias = Callable[[str, TransformerBlock], TransformerBlock]


def with_blocks(stage: Stage, path: str, change: ChangeBlock) -> Stage:
    """Return a stage whose transformer blocks are exchanged; what a change returns as it was is shared.

    Parameters
    ----------
    stage : Stage
    path : str
        Its own: ``down_blocks.0``.
    change : callable
    """
    attentions = tuple(
        replace(
            transformer,
            transformer_blocks=tuple(
                change(f"{path}.attentions.{index}.transformer_blocks.{layer}", block)
                for layer, block in enumerate(transformer.transformer_blocks)
            ),
        )
        for index, transformer in enumerate(stage.attentions)
    )
    return replace(stage, attentions=attentions)

"""What a U-Net and a ControlNet have in common: embeddings, the way down, and the middle."""

from typing import Any

import torch
from torch import nn

from converter.options import Attention
from converter.rewrite.embedding import TimeEmbedding
from converter.rewrite.stages import DownStage, MiddleStage

__all__ = ["Trunk"]


class Trunk(nn.Module):
    """The first half of a network; ``middle`` stands apart, since residuals are added before it."""

    def __init__(self, module: Any, kind: Attention) -> None:
        super().__init__()
        self.conv_in = module.conv_in
        self.time = TimeEmbedding(module)
        self.down_stages = nn.ModuleList(DownStage(block, kind) for block in module.down_blocks)
        self.middle = None if module.mid_block is None else MiddleStage(module.mid_block, kind)

    def down(self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """From the first convolution's result to the smallest picture, and all results on the way, that first one included."""
        results = [x]
        for stage in self.down_stages:
            x, more = stage(x, time, context)
            results += more
        return x, results

    def through_middle(self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x if self.middle is None else self.middle(x, time, context)
        return out

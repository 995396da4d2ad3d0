"""Residual blocks with their transformers, the stages that they form, and the trunk shared by U-Nets and ControlNets."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from converter.options import Attention
from converter.rewrite.embedding import TimeEmbedding
from converter.rewrite.layout import fixed_size, pointwise
from converter.rewrite.transformer import SpatialTransformer

__all__ = ["Trunk", "UpStage"]


class ResidualBlock(nn.Module):
    """diffusers' ResnetBlock2D; its time embedding [n, width, 1, 1] has already passed through SiLU, once for all blocks."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1, self.conv1, self.norm2, self.conv2 = block.norm1, block.conv1, block.norm2, block.conv2
        self.time = pointwise(block.time_emb_proj)
        self.shortcut = block.conv_shortcut

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        hidden = self.conv1(functional.silu(self.norm1(x))) + self.time(time)
        hidden = self.conv2(functional.silu(self.norm2(hidden)))
        out: torch.Tensor = (x if self.shortcut is None else self.shortcut(x)) + hidden
        return out


class _Layers(nn.Module):
    """A stage's residual blocks and transformers; some stages have no transformers."""

    def __init__(self, block: Any, kind: Attention) -> None:
        super().__init__()
        transformers = getattr(block, "attentions", None) or ()
        self.residual_blocks = nn.ModuleList(ResidualBlock(each) for each in block.resnets)
        self.transformers = nn.ModuleList(SpatialTransformer(each, kind) for each in transformers if each is not None)

    def layer(self, index: int, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = self.residual_blocks[index](x, time)
        return self.transformers[index](x, context) if len(self.transformers) else x


class DownStage(_Layers):
    """A stage of the down path: [n, in, h, w] -> its result, and every intermediate result for the up path."""

    def __init__(self, block: Any, kind: Attention) -> None:
        super().__init__(block, kind)
        self.downsampler = None if block.downsamplers is None else _strided(block.downsamplers[0])

    def forward(self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        results = []
        for index in range(len(self.residual_blocks)):
            x = self.layer(index, x, time, context)
            results.append(x)
        if self.downsampler is not None:
            x = self.downsampler(x)
            results.append(x)
        return x, results


class MiddleStage(_Layers):
    """The middle stage, of the smallest size: a residual block, then pairs of a transformer and a residual block."""

    def forward(self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = self.residual_blocks[0](x, time)
        for index, block in enumerate(list(self.residual_blocks)[1:]):
            if len(self.transformers):
                x = self.transformers[index](x, context)
            x = block(x, time)
        return x


class UpStage(_Layers):
    """A stage of the up path; takes one result of the down path for each of its residual blocks, in reverse order."""

    def __init__(self, block: Any, kind: Attention) -> None:
        super().__init__(block, kind)
        self.upsampler = None if block.upsamplers is None else block.upsamplers[0].conv

    def forward(self, x: torch.Tensor, skips: list[torch.Tensor], time: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Compute the stage; removes the results it uses from ``skips``, whose next one then determines the size of this result."""
        for index in range(len(self.residual_blocks)):
            x = self.layer(index, torch.cat([x, skips.pop()], dim=1), time, context)
        if self.upsampler is not None:
            x = self.upsampler(_twice_as_large(x, skips[-1]))
        return x


class Trunk(nn.Module):
    """The first half of a network; ``middle`` is separate, since residuals are added before it."""

    def __init__(self, module: Any, kind: Attention) -> None:
        super().__init__()
        self.conv_in = module.conv_in
        self.time = TimeEmbedding(module)
        self.down_stages = nn.ModuleList(DownStage(block, kind) for block in module.down_blocks)
        self.middle = None if module.mid_block is None else MiddleStage(module.mid_block, kind)

    def down(self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Compute the down path; returns its result, and all intermediate ones including the first convolution's."""
        results = [x]
        for stage in self.down_stages:
            x, more = stage(x, time, context)
            results += more
        return x, results

    def through_middle(self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x if self.middle is None else self.middle(x, time, context)
        return out


def _strided(downsampler: Any) -> nn.Module:
    conv: nn.Module = downsampler.conv
    # Diffusers pads explicitly, and only at the far sides, if the convolution does not pad.
    return conv if downsampler.padding else nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv)


def _twice_as_large(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Repeat every pixel twice in both directions; omit the last row or column if the down path had an odd number of them."""
    large = functional.interpolate(x, scale_factor=2.0, mode="nearest")
    height, width = fixed_size(like, 2), fixed_size(like, 3)
    fits = (fixed_size(large, 2), fixed_size(large, 3)) == (height, width)
    return large if fits else large[:, :, :height, :width]

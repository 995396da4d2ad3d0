"""Residual blocks, each with its transformer, and the ways between picture sizes."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from converter.options import Attention
from converter.rewrite.fixed import fixed_size
from converter.rewrite.pointwise import pointwise
from converter.rewrite.transformer import SpatialTransformer

__all__ = ["DownStage", "MiddleStage", "ResidualBlock", "UpStage"]


class ResidualBlock(nn.Module):
    """diffusers' ResnetBlock2D; its time embedding [n, width, 1, 1] has gone through SiLU already, once for all blocks."""

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
    """A stage's residual blocks and transformers; a stage may have no transformers."""

    def __init__(self, block: Any, kind: Attention) -> None:
        super().__init__()
        transformers = getattr(block, "attentions", None) or ()
        self.residual_blocks = nn.ModuleList(ResidualBlock(each) for each in block.resnets)
        self.transformers = nn.ModuleList(SpatialTransformer(each, kind) for each in transformers if each is not None)

    def layer(self, index: int, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = self.residual_blocks[index](x, time)
        return self.transformers[index](x, context) if len(self.transformers) else x


class DownStage(_Layers):
    """A level on the way down: [n, in, h, w] -> what follows, and every result for the way up."""

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
    """The smallest picture: a residual block, then pairs of a transformer and a residual block."""

    def forward(self, x: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = self.residual_blocks[0](x, time)
        for index, block in enumerate(list(self.residual_blocks)[1:]):
            if len(self.transformers):
                x = self.transformers[index](x, context)
            x = block(x, time)
        return x


class UpStage(_Layers):
    """A level on the way up; takes as many results of the way down as it has residual blocks, the last first."""

    def __init__(self, block: Any, kind: Attention) -> None:
        super().__init__(block, kind)
        self.upsampler = None if block.upsamplers is None else block.upsamplers[0].conv

    def forward(self, x: torch.Tensor, skips: list[torch.Tensor], time: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """``skips`` are all results that are left; those that are used are taken out, and the next one says how large the result is."""
        for index in range(len(self.residual_blocks)):
            x = self.layer(index, torch.cat([x, skips.pop()], dim=1), time, context)
        if self.upsampler is not None:
            x = self.upsampler(_twice_as_large(x, skips[-1]))
        return x


def _strided(downsampler: Any) -> nn.Module:
    conv: nn.Module = downsampler.conv
    # diffusers pads by hand, at the far sides alone, where the convolution does not
    return conv if downsampler.padding else nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv)


def _twice_as_large(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Every pixel four times; one row or column less where the picture had an odd number of them on the way down."""
    large = functional.interpolate(x, scale_factor=2.0, mode="nearest")
    height, width = fixed_size(like, 2), fixed_size(like, 3)
    fits = (fixed_size(large, 2), fixed_size(large, 3)) == (height, width)
    return large if fits else large[:, :, :height, :width]

"""Transformers between residual blocks, in the layout [n, channels, 1, pixels] from their first projection to their last."""

from typing import Any

import torch
from diffusers.models.activations import GEGLU, GELU
from torch import nn
from torch.nn import functional

from converter.options import Attention
from converter.rewrite.attention import HeadedAttention
from converter.rewrite.channel_norm import ChannelNorm
from converter.rewrite.layout import pointwise
from sdrt.errors import ConfigError

__all__ = ["FeedForward", "SpatialTransformer", "TransformerBlock"]


class FeedForward(nn.Module):
    """diffusers' FeedForward: widen, apply GELU (to a gate, or to everything), narrow."""

    def __init__(self, feed_forward: Any) -> None:
        super().__init__()
        inner = feed_forward.net[0]
        if type(inner) not in (GEGLU, GELU):
            raise ConfigError(f"a feed-forward layer to rewrite must use geglu or gelu, got {type(inner).__name__}; convert another model")
        self.gated = type(inner) is GEGLU
        self.approximate = "none" if self.gated else inner.approximate
        self.inner, self.outer = pointwise(inner.proj), pointwise(feed_forward.net[2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.inner(x)
        if self.gated:
            value, gate = inner.chunk(2, dim=1)
            wide = value * functional.gelu(gate)
        else:
            wide = functional.gelu(inner, approximate=self.approximate)
        out: torch.Tensor = self.outer(wide)
        return out


class TransformerBlock(nn.Module):
    """diffusers' BasicTransformerBlock: self-attention, attention to the condition, feed-forward."""

    def __init__(self, block: Any, kind: Attention) -> None:
        super().__init__()
        self.only_cross_attention: bool = block.only_cross_attention
        self.norm1, self.norm2, self.norm3 = (ChannelNorm(norm) for norm in (block.norm1, block.norm2, block.norm3))
        self.attn1, self.attn2 = HeadedAttention(block.attn1, kind), HeadedAttention(block.attn2, kind)
        self.ff = FeedForward(block.ff)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        own = self.norm1(x)
        x = x + self.attn1(own, context if self.only_cross_attention else own)
        x = x + self.attn2(self.norm2(x), context)
        out: torch.Tensor = x + self.ff(self.norm3(x))
        return out


class SpatialTransformer(nn.Module):
    """diffusers' Transformer2DModel over feature maps: [n, channels, h, w] and a condition [n, width, 1, length] -> [n, channels, h, w]."""

    def __init__(self, transformer: Any, kind: Attention) -> None:
        super().__init__()
        # diffusers' own layers take pixels as a sequence then
        self.linear_projection: bool = type(transformer.proj_in) is nn.Linear
        self.norm = transformer.norm
        self.proj_in, self.proj_out = pointwise(transformer.proj_in), pointwise(transformer.proj_out)
        self.blocks = nn.ModuleList(TransformerBlock(block, kind) for block in transformer.transformer_blocks)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        hidden = self.proj_in(self.norm(x))
        n, channels, height, width = hidden.shape
        hidden = hidden.reshape(n, channels, 1, -1)
        for block in self.blocks:
            hidden = block(hidden, context)
        out: torch.Tensor = self.proj_out(hidden.reshape(n, channels, height, width)) + x
        return out

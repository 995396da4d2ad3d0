"""Attention in the three forms of Apple's converter; each computes softmax(q k^T / sqrt(d)) v for every head.

The scale is applied to the weights of the queries: one product less per head, and scores that stay within half precision.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

from converter.options import QUERIES_AT_A_TIME, Attention
from converter.rewrite.layout import fixed_size, pointwise
from sdrt.errors import ConfigError

__all__ = ["HeadedAttention", "original", "split_einsum", "split_einsum_v2"]

# (q [n, heads * d, 1, queries], k and v [n, heads * d, 1, keys], heads) -> [n, heads * d, 1, queries]
Attend: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


def original(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """Compute all heads in one product, which is best on a GPU."""
    n, channels = q.shape[0], q.shape[1]
    query, key, value = (x.reshape(n, heads, channels // heads, -1) for x in (q, k, v))
    weights = torch.einsum("bhcq,bhck->bhqk", query, key).softmax(dim=3)
    return torch.einsum("bhqk,bhck->bhcq", weights, value).reshape(n, channels, 1, -1)


def split_einsum(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """Compute head by head, which is best on the Neural Engine."""
    size = q.shape[1] // heads
    keys = k.transpose(1, 3)
    parts = [slice(head * size, (head + 1) * size) for head in range(heads)]
    return torch.cat([_attend_head(q[:, part], keys[:, :, :, part], v[:, part]) for part in parts], dim=1)


def split_einsum_v2(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """Compute head by head, and 512 queries at a time; the last run has the remaining ones.

    The runs are counted when the network is traced, so the trace is valid for that number of pixels only.
    """
    size, length = q.shape[1] // heads, fixed_size(q, 3)
    if length <= QUERIES_AT_A_TIME:
        return split_einsum(q, k, v, heads)
    keys = k.transpose(1, 3)
    runs = [slice(start, min(start + QUERIES_AT_A_TIME, length)) for start in range(0, length, QUERIES_AT_A_TIME)]
    outs = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        query, key, value = q[:, part], keys[:, :, :, part], v[:, part]
        outs.append(torch.cat([_attend_head(query[:, :, :, run], key, value) for run in runs], dim=3))
    return torch.cat(outs, dim=1)


def _attend_head(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attend with one head: q [n, d, 1, queries], k [n, keys, 1, d], v [n, d, 1, keys] -> [n, d, 1, queries]."""
    weights = torch.einsum("bchq,bkhc->bkhq", q, k).softmax(dim=1)
    return torch.einsum("bkhq,bchk->bchq", weights, v)


_ATTEND: Mapping[Attention, Attend] = {
    Attention.ORIGINAL: original,
    Attention.SPLIT_EINSUM: split_einsum,
    Attention.SPLIT_EINSUM_V2: split_einsum_v2,
}


class HeadedAttention(nn.Module):
    """diffusers' Attention over [n, channels, 1, pixels].

    Parameters
    ----------
    attention : diffusers.models.attention_processor.Attention
    kind : Attention

    Raises
    ------
    ConfigError : it does more than project, attend and project
    """

    def __init__(self, attention: Any, kind: Attention) -> None:
        super().__init__()
        for name in ("group_norm", "spatial_norm", "norm_cross", "norm_q", "norm_k", "add_k_proj"):
            if getattr(attention, name, None) is not None:
                raise ConfigError(f"attention must not have {name} to be rewritten for Core ML, got it; convert another model")
        self.heads: int = attention.heads
        self.attend = _ATTEND[kind]
        self.q = pointwise(attention.to_q, attention.scale)
        self.k, self.v, self.out = (pointwise(layer) for layer in (attention.to_k, attention.to_v, attention.to_out[0]))

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Attend from x [n, channels, 1, pixels] to context [n, width, 1, length]."""
        out: torch.Tensor = self.out(self.attend(self.q(x), self.k(context), self.v(context), self.heads))
        return out

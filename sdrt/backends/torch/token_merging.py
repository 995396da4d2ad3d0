"""Token merging in diffusers' modules: the same matching as `sdrt.backends.numpy.token_merging`, whose docstring has the source."""

from collections.abc import Collection
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from diffusers import Transformer2DModel
from diffusers.models.attention import BasicTransformerBlock
from torch import nn

__all__ = ["Matching", "match", "merge_tokens"]

_CELL = 2  # pixels along each side


class Matching(NamedTuple):
    """Which pixels of each picture are merged into which; all int64[n, ...]."""

    kept: torch.Tensor
    destinations: torch.Tensor
    merged: torch.Tensor
    into: torch.Tensor

    def merge(self, x: torch.Tensor) -> torch.Tensor:
        """[n, pixels, width] -> [n, kept + destinations, width]."""
        into = self.into[..., None].expand(-1, -1, x.shape[2])
        means = _taken(x, self.destinations).scatter_reduce(1, into, _taken(x, self.merged), reduce="mean")
        return torch.cat([_taken(x, self.kept), means], dim=1)

    def unmerge(self, tokens: torch.Tensor) -> torch.Tensor:
        """[n, kept + destinations, width] -> [n, pixels, width]."""
        kept, own = tokens[:, : self.kept.shape[1]], tokens[:, self.kept.shape[1] :]
        places = torch.cat([self.kept, self.destinations, self.merged], dim=1)
        every = torch.cat([kept, own, _taken(own, self.into)], dim=1)
        return torch.empty_like(every).scatter(1, places[..., None].expand_as(every), every)


def match(x: torch.Tensor, size: tuple[int, int], ratio: float) -> Matching:
    """Match the pixels of pictures [n, height * width, channels]."""
    sources, destinations = (place.to(x.device) for place in _places(*size))
    count = min(len(sources), int(x.shape[1] * ratio))
    unit = nn.functional.normalize(x if x.dtype == torch.float64 else x.float(), dim=-1)
    best, nearest = (unit[:, sources] @ unit[:, destinations].transpose(1, 2)).max(dim=-1)
    order = best.argsort(dim=-1, descending=True, stable=True)
    merged, kept = order[:, :count], order[:, count:]
    return Matching(sources[kept], destinations.expand(len(x), -1), sources[merged], nearest.gather(1, merged))


def merge_tokens(unet: nn.Module, blocks: Collection[str], ratio: float) -> None:
    """Let the self-attention of these blocks see merged pixels, in a module that nobody else calls.

    Parameters
    ----------
    unet : UNet2DConditionModel
    blocks : collection of str
        Paths of transformer blocks, with all of each transformer.
    ratio : float
    """
    for path in blocks:
        block: Any = unet.get_submodule(path)
        block.__class__, block.ratio = _MergingBlock, ratio
        unet.get_submodule(path.partition(".transformer_blocks")[0]).__class__ = _MergingTransformer


class _MergingBlock(BasicTransformerBlock):  # type: ignore[misc]  # diffusers has no types
    """A block that is told the size of what it attends from."""

    ratio: float

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        size: tuple[int, int],
        cross_attention_kwargs: dict[str, Any],
    ) -> torch.Tensor:
        """[n,length,inner] -> the same."""
        normed = self.norm1(hidden_states)
        if min(size) < _CELL:
            attended = self.attn1(normed)
        else:
            matching = match(hidden_states, size, self.ratio)
            attended = matching.unmerge(self.attn1(matching.merge(normed)))
        hidden = hidden_states + attended
        hidden = hidden + self.attn2(self.norm2(hidden), encoder_hidden_states=encoder_hidden_states, **cross_attention_kwargs)
        out: torch.Tensor = hidden + self.ff(self.norm3(hidden))
        return out


class _MergingTransformer(Transformer2DModel):  # type: ignore[misc]
    """A transformer that tells its blocks the size of what they attend from."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        cross_attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = False,  # noqa: ARG002 its callers take the first of a tuple
        **_: Any,
    ) -> tuple[torch.Tensor]:
        """[n,channels,height,width] -> the same."""
        n, _channels, height, width = hidden_states.shape
        x = self.norm(hidden_states)
        linear = self.use_linear_projection
        x = self.proj_in(x.flatten(2).transpose(1, 2)) if linear else self.proj_in(x).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            x = block(x, encoder_hidden_states, (height, width), cross_attention_kwargs or {})
        x = (self.proj_out(x) if linear else x).transpose(1, 2).reshape(n, -1, height, width)
        return ((x if linear else self.proj_out(x)) + hidden_states,)


def _taken(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[2]))


@lru_cache(maxsize=16)
def _places(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sources and destinations of a picture of this size, from the first pixel on."""
    is_destination = torch.zeros((height, width), dtype=torch.bool)
    is_destination[: height // _CELL * _CELL : _CELL, : width // _CELL * _CELL : _CELL] = True
    flat = is_destination.flatten()
    return torch.nonzero(~flat)[:, 0], torch.nonzero(flat)[:, 0]

"""U-Net and ControlNet as Apple's converter writes them in torch, in our own words, over the weights of diffusers' modules.

Source: apple/ml-stable-diffusion at e12202c: ``unet.py``, ``attention.py``, ``layer_norm.py`` and ``controlnet.py``.
Every linear layer is a 1x1 convolution, texts are (B,D,1,L), and a transformer's values (B,C,1,S).
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

__all__ = ["AttentionForm", "ControlNet", "Transformer", "Unet"]

AttentionForm: TypeAlias = Literal["ORIGINAL", "SPLIT_EINSUM", "SPLIT_EINSUM_V2"]
_QUERIES = 512  # of a run in SPLIT_EINSUM_V2
_LONGEST_PERIOD = 10_000


def _pointwise(layer: Any) -> nn.Conv2d:
    """Return a linear layer, or a convolution, as a convolution over one pixel."""
    if isinstance(layer, nn.Conv2d):
        return layer
    made = nn.Conv2d(layer.in_features, layer.out_features, 1, bias=layer.bias is not None, dtype=layer.weight.dtype)
    made.weight.data = layer.weight.data[:, :, None, None]
    if layer.bias is not None and made.bias is not None:
        made.bias.data = layer.bias.data
    return made


class _ChannelNorm(nn.Module):
    """A layer norm of (B,C,1,S) over channels, with the bias inside the brackets: (x + bias) weight."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.eps = norm.eps
        self.weight, self.bias = (nn.Parameter(x.data.view(1, -1, 1, 1)) for x in (norm.weight, norm.bias / norm.weight))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        scale = torch.rsqrt((centred * centred).mean(dim=1, keepdim=True) + self.eps)
        return (centred * scale + self.bias) * self.weight


class _Attention(nn.Module):
    def __init__(self, source: Any, form: AttentionForm) -> None:
        super().__init__()
        self.heads, self.form = source.heads, form
        self.q, self.k, self.v, self.out = (_pointwise(x) for x in (source.to_q, source.to_k, source.to_v, source.to_out[0]))

    def forward(self, x: torch.Tensor, states: torch.Tensor | None = None) -> torch.Tensor:
        states = x if states is None else states
        q, k, v = self.q(x), self.k(states), self.v(states)
        found: torch.Tensor = self.out(self._whole(q, k, v) if self.form == "ORIGINAL" else self._split(q, k, v))
        return found

    def _whole(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        rows, width, _, queries = q.shape
        each = width // self.heads
        q, k, v = (x.view(rows, self.heads, each, -1) for x in (q, k, v))
        weights = (torch.einsum("bhcq,bhck->bhqk", q, k) * each**-0.5).softmax(dim=3)
        return torch.einsum("bhqk,bhck->bhcq", weights, v).contiguous().view(rows, width, 1, queries)

    def _split(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        each, queries = q.shape[1] // self.heads, q.shape[3]
        run = _QUERIES if self.form == "SPLIT_EINSUM_V2" and queries >= _QUERIES else queries
        keys, heads = k.transpose(1, 3), []
        for head in range(self.heads):
            at = slice(head * each, (head + 1) * each)
            runs = []
            for start in range(0, queries // run * run, run):
                some = q[:, at, :, start : start + run] if run < queries else q[:, at]
                weights = (torch.einsum("bchq,bkhc->bkhq", some, keys[:, :, :, at]) * each**-0.5).softmax(dim=1)
                runs.append(torch.einsum("bkhq,bchk->bchq", weights, v[:, at]))
            heads.append(torch.cat(runs, dim=3) if len(runs) > 1 else runs[0])
        return torch.cat(heads, dim=1)


class _Block(nn.Module):
    def __init__(self, source: Any, form: AttentionForm) -> None:
        super().__init__()
        self.norms = nn.ModuleList(_ChannelNorm(norm) for norm in (source.norm1, source.norm2, source.norm3))
        self.own, self.cross = _Attention(source.attn1, form), _Attention(source.attn2, form)
        self.inner, self.outer = _pointwise(source.ff.net[0].proj), _pointwise(source.ff.net[2])

    def forward(self, x: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        x = self.own(self.norms[0](x)) + x
        x = self.cross(self.norms[1](x), states) + x
        value, gate = self.inner(self.norms[2](x)).chunk(2, dim=1)
        found: torch.Tensor = self.outer(value * nn.functional.gelu(gate)) + x
        return found


class Transformer(nn.Module):
    """``SpatialTransformer``."""

    def __init__(self, source: Any, form: AttentionForm) -> None:
        super().__init__()
        self.norm, self.into, self.back = source.norm, _pointwise(source.proj_in), _pointwise(source.proj_out)
        self.blocks = nn.ModuleList(_Block(block, form) for block in source.transformer_blocks)

    def forward(self, x: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        rows, channels, height, width = x.shape
        inner = self.into(self.norm(x)).view(rows, channels, 1, height * width)
        for block in self.blocks:
            inner = block(inner, states)
        found: torch.Tensor = self.back(inner.view(rows, channels, height, width)) + x
        return found


class _Resnet(nn.Module):
    def __init__(self, source: Any) -> None:
        super().__init__()
        self.first, self.second = nn.ModuleList((source.norm1, source.conv1)), nn.ModuleList((source.norm2, source.conv2))
        self.time, self.shortcut = _pointwise(source.time_emb_proj), source.conv_shortcut

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        silu = nn.functional.silu
        inner = self.first[1](silu(self.first[0](x))) + self.time(silu(time))
        inner = self.second[1](silu(self.second[0](inner)))
        found: torch.Tensor = (x if self.shortcut is None else self.shortcut(x)) + inner
        return found


class _Level(nn.Module):
    """The layers of a block on the way down, up or in the middle; ``None`` where a layer has no transformer."""

    def __init__(self, source: Any, form: AttentionForm) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(map(_Resnet, source.resnets))
        self.transformers = nn.ModuleList(Transformer(each, form) for each in getattr(source, "attentions", ()))
        resample = getattr(source, "downsamplers", None) or getattr(source, "upsamplers", None)
        self.resample = resample[0].conv if resample else None


class _Embedding(nn.Module):
    """Numbers as waves, in the precision of the network, and two layers over them.

    Parameters
    ----------
    layers : diffusers' TimestepEmbedding
    """

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.first, self.second = _pointwise(layers.linear_1), _pointwise(layers.linear_2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.second(nn.functional.silu(self.first(x[:, :, None, None])))
        return found


def _waves(numbers: torch.Tensor, width: int, *, half: bool) -> torch.Tensor:
    """Return [n,width], cosines first; ``half`` rounds the frequencies as a package in float16 does."""
    frequencies = torch.exp(-math.log(_LONGEST_PERIOD) * torch.arange(width // 2, dtype=torch.float32) / (width // 2))
    frequencies = frequencies.half().to(numbers.dtype) if half else frequencies.to(numbers.dtype)
    angles = numbers[:, None] * frequencies[None]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


class _Trunk(nn.Module):
    """What U-Net and ControlNet share: embeddings, the way down and the middle."""

    def __init__(self, source: Any, form: AttentionForm, *, half: bool) -> None:
        super().__init__()
        self.config, self.half_angles = source.config, half
        self.conv_in, self.time = source.conv_in, _Embedding(source.time_embedding)
        self.added = _Embedding(source.add_embedding) if source.config.addition_embed_type else None
        self.down = nn.ModuleList(_Level(block, form) for block in source.down_blocks)
        self.middle = _Level(source.mid_block, form)

    def embed(self, timestep: torch.Tensor, time_ids: torch.Tensor | None, text_embeds: torch.Tensor | None) -> torch.Tensor:
        found: torch.Tensor = self.time(_waves(timestep, self.config.block_out_channels[0], half=self.half_angles))
        if self.added is None or time_ids is None or text_embeds is None:
            return found
        # of two rows of numbers, or of all laid end to end as the first converters did
        sizes = _waves(time_ids.flatten(), self.config.addition_time_embed_dim, half=self.half_angles)
        added: torch.Tensor = self.added(torch.cat([text_embeds, sizes.reshape(text_embeds.shape[0], -1)], dim=-1))
        return found + added

    def descend(self, x: torch.Tensor, time: torch.Tensor, states: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        skips = [x]
        level: Any
        for level in self.down:
            for index, resnet in enumerate(level.resnets):
                x = resnet(x, time)
                x = level.transformers[index](x, states) if len(level.transformers) else x
                skips.append(x)
            if level.resample is not None:
                x = level.resample(x)
                skips.append(x)
        first, last = self.middle.resnets
        x = last(self.middle.transformers[0](first(x, time), states), time)
        return skips, x


class Unet(_Trunk):
    """``UNet2DConditionModel`` and ``UNet2DConditionModelXL``.

    Parameters
    ----------
    source : diffusers' UNet2DConditionModel
    form : AttentionForm
    names : sequence of str
        The inputs, in the package's order.
    half : bool
        Whether frequencies are rounded to float16, as they are in a package: the network that a package is.
    """

    def __init__(self, source: Any, form: AttentionForm, names: Sequence[str], *, half: bool = False) -> None:
        super().__init__(source, form, half=half)
        self.names = tuple(names)
        self.up = nn.ModuleList(_Level(block, form) for block in source.up_blocks)
        self.norm, self.conv_out = source.conv_norm_out, source.conv_out

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        given = dict(zip(self.names, values, strict=True))
        states = given["encoder_hidden_states"]
        time = self.embed(given["timestep"], given.get("time_ids"), given.get("text_embeds"))
        skips, x = self.descend(self.conv_in(given["sample"]), time, states)
        if residuals := [value for name, value in given.items() if name.startswith("additional_residual_")]:
            skips, x = [skip + residual for skip, residual in zip(skips, residuals[:-1], strict=True)], x + residuals[-1]
        level: Any
        for level in self.up:
            for index, resnet in enumerate(level.resnets):
                x = resnet(torch.cat([x, skips.pop()], dim=1), time)
                x = level.transformers[index](x, states) if len(level.transformers) else x
            if level.resample is not None:
                x = level.resample(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        found: torch.Tensor = self.conv_out(nn.functional.silu(self.norm(x)))
        return found


class ControlNet(_Trunk):
    """``ControlNetModel``: a residual for each skip connection, and for the middle."""

    def __init__(self, source: Any, form: AttentionForm, *, half: bool = False) -> None:
        super().__init__(source, form, half=half)
        self.picture, self.zeros, self.zero = source.controlnet_cond_embedding, source.controlnet_down_blocks, source.controlnet_mid_block

    def forward(
        self, sample: torch.Tensor, timestep: torch.Tensor, states: torch.Tensor, picture: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        x = self.conv_in(sample) + self.picture(picture)
        skips, x = self.descend(x, self.embed(timestep, None, None), states)
        return (*(zero(skip) for zero, skip in zip(self.zeros, skips, strict=True)), self.zero(x))

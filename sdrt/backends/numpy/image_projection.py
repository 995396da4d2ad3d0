"""The networks at the front of IP-Adapters, of diffusers' three classes.

Source: Ye et al. 2023 (arXiv:2308.06721); diffusers 0.42.1 ``ImageProjection``, ``IPAdapterPlusImageProjection`` (the resampler of
Flamingo, Alayrac et al. 2022, arXiv:2204.14198, section 3.1) and ``IPAdapterFullImageProjection``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.activations import gelu
from sdrt.backends.numpy.attention import attend
from sdrt.backends.numpy.linear import Linear, parts
from sdrt.backends.numpy.norm import LayerNorm
from sdrt.backends.numpy.program import Program
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.models.components.image_projection import FULL, PLAIN

__all__ = ["FullProjection", "PlainProjection", "Resampler", "load_image_projection"]

_EPS = 1e-5


def load_image_projection(source: Source, config: Mapping[str, Any]) -> Program:
    """Load the network that a configuration names."""
    match config["_class_name"]:
        case name if name == PLAIN:
            return PlainProjection.load(source, config)
        case name if name == FULL:
            return FullProjection.load(source, config)
    return Resampler.load(source, config)


@dataclass(frozen=True)
class FeedForward:
    """Two products with gelu between them."""

    proj: Linear
    out: Linear

    @classmethod
    def load(cls, source: Source, size_in: int, inner: int, size_out: int, *, bias: bool) -> Self:
        proj = Linear.load(source.at("net", 0, "proj"), size_in, inner, bias=bias)
        return cls(proj, Linear.load(source.at("net", 2), inner, size_out, bias=bias))

    def __call__(self, team: ThreadTeam, x: Float, residual: Float | None = None) -> Float:
        """float[..., in] -> float[..., out], plus ``residual``."""
        hidden = self.proj(team, x)
        gelu(hidden, team.scratch, team.arithmetic.exponential)
        return self.out(team, hidden, residual)


@dataclass(frozen=True)
class PlainProjection:
    """`image_embeds` float[n, E] -> `image_tokens` float[n, t, D]: one product, whose output is cut into tokens."""

    image_embeds: Linear
    norm: LayerNorm

    @classmethod
    def load(cls, source: Source, config: Mapping[str, Any]) -> Self:
        width, tokens = config["cross_attention_dim"], config["num_image_text_embeds"]
        product = Linear.load(source.at("image_embeds"), config["image_embed_dim"], tokens * width)
        return cls(product, LayerNorm.load(source.at("norm"), width, _EPS))

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        joined = self.image_embeds(team, inputs["image_embeds"])
        return {"image_tokens": self.norm(team, joined.reshape(len(joined), -1, len(self.norm.weight)))}


@dataclass(frozen=True)
class FullProjection:
    """`penultimate_hidden_state` float[n, L, E] -> `image_tokens` float[n, L, D]: each state becomes a token."""

    ff: FeedForward
    norm: LayerNorm

    @classmethod
    def load(cls, source: Source, config: Mapping[str, Any]) -> Self:
        size, width = config["image_embed_dim"], config["cross_attention_dim"]
        return cls(FeedForward.load(source.at("ff"), size, size, width, bias=True), LayerNorm.load(source.at("norm"), width, _EPS))

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {"image_tokens": self.norm(team, self.ff(team, inputs["penultimate_hidden_state"]))}


@dataclass(frozen=True)
class ResamplerLayer:
    """Learnt queries attend to a picture's states and to themselves; a feed-forward follows. Each is added to its input."""

    ln0: LayerNorm
    ln1: LayerNorm
    to_q: Linear
    to_kv: Linear
    to_out: Linear
    heads: int
    norm: LayerNorm
    ff: FeedForward

    @classmethod
    def load(cls, source: Source, config: Mapping[str, Any]) -> Self:
        width, inner, attention = config["hidden_dims"], config["heads"] * config["dim_head"], source.at("attn")
        to_q, to_k, to_v = (Linear.load(attention.at(name), width, inner, bias=False) for name in ("to_q", "to_k", "to_v"))
        return cls(
            ln0=LayerNorm.load(source.at("ln0"), width, _EPS),
            ln1=LayerNorm.load(source.at("ln1"), width, _EPS),
            to_q=to_q,
            to_kv=Linear.joined([to_k, to_v]),
            to_out=Linear.load(attention.at("to_out", 0), inner, width, bias=False),
            heads=config["heads"],
            norm=LayerNorm.load(source.at("ff", 0), width, _EPS),
            ff=FeedForward.load(source.at("ff", 1), width, int(width * config["ffn_ratio"]), width, bias=False),
        )

    def __call__(self, team: ThreadTeam, states: Float, latents: Float) -> Float:
        """float[n, L, H], float[n, t, H] -> float[n, t, H]."""
        queries = self.ln1(team, latents)
        keys, values = parts(self.to_kv(team, np.concatenate([self.ln0(team, states), queries], axis=1)), 2)
        latents = self.to_out(team, attend(team, self.to_q(team, queries), keys, values, self.heads), latents)
        return self.ff(team, self.norm(team, latents), latents)


@dataclass(frozen=True)
class Resampler:
    """`penultimate_hidden_state` float[n, L, E] -> `image_tokens` float[n, t, D], however many states there are."""

    latents: Float
    proj_in: Linear
    layers: tuple[ResamplerLayer, ...]
    proj_out: Linear
    norm_out: LayerNorm

    @classmethod
    def load(cls, source: Source, config: Mapping[str, Any]) -> Self:
        width, size_out = config["hidden_dims"], config["output_dims"]
        return cls(
            latents=source.take("latents", 1, config["num_queries"], width),
            proj_in=Linear.load(source.at("proj_in"), config["embed_dims"], width),
            layers=tuple(ResamplerLayer.load(source.at("layers", index), config) for index in range(config["depth"])),
            proj_out=Linear.load(source.at("proj_out"), width, size_out),
            norm_out=LayerNorm.load(source.at("norm_out"), size_out, _EPS),
        )

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        states = self.proj_in(team, inputs["penultimate_hidden_state"])
        latents = np.repeat(self.latents, len(states), axis=0)
        for layer in self.layers:
            latents = layer(team, states, latents)
        return {"image_tokens": self.norm_out(team, self.proj_out(team, latents))}

"""The transformer between residual blocks: self-attention, attention to the condition, gated feed-forward."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.activations import geglu
from sdrt.backends.numpy.attention import attend
from sdrt.backends.numpy.image_prompts import ImagePrompt
from sdrt.backends.numpy.linear import Linear, operand_rows, parts, row_and_column_blocks
from sdrt.backends.numpy.norm import GroupNorm, LayerNorm
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["Condition", "CrossAttention", "FeedForward", "SelfAttention", "ToItself", "Transformer2D", "TransformerBlock"]


@dataclass(frozen=True)
class Condition:
    """What attention looks at beside the picture.

    Parameters
    ----------
    states : float[n, length, width]
    computed : mapping
        Keys and values, side by side, of those attentions that have them already: all where the condition is bound.
    images : tuple of ImagePrompt
        One for each IP-Adapter of the network.
    """

    states: Float
    computed: Mapping["CrossAttention", Float] = field(default_factory=dict)
    images: tuple[ImagePrompt, ...] = ()

    def keys_and_values(self, team: ThreadTeam, attention: "CrossAttention") -> list[Float]:
        """For one attention, two times float[n, length, its width]."""
        both = self.computed.get(attention)
        return parts(attention.to_kv(team, self.states) if both is None else both, 2)


@dataclass(frozen=True)
class SelfAttention:
    """Attention of a sequence to itself; query, key and value come from one product.

    Parameters
    ----------
    to_qkv : Linear, width -> 3 * width
    """

    to_qkv: Linear
    to_out: Linear
    heads: int

    @classmethod
    def load(cls, source: Source, width: int, heads: int, *, bias: bool = False) -> Self:
        products = [Linear.load(source.at(name), width, width, bias=bias) for name in ("to_q", "to_k", "to_v")]
        return cls(Linear.joined(products), Linear.load(source.at("to_out", 0), width, width), heads)

    def __call__(self, team: ThreadTeam, x: Float, residual: Float | None = None) -> Float:
        """float[n, length, width] -> the same, plus ``residual``."""
        q, k, v = parts(self.to_qkv(team, x), 3)
        return self.to_out(team, attend(team, q, k, v, self.heads), residual)


@dataclass(frozen=True, eq=False)
class CrossAttention:
    """Attention to the condition.

    Parameters
    ----------
    to_kv : Linear, condition's width -> 2 * width
    """

    to_q: Linear
    to_kv: Linear
    to_out: Linear
    heads: int

    @classmethod
    def load(cls, source: Source, width: int, heads: int, condition_width: int) -> Self:
        products = [Linear.load(source.at(name), condition_width, width, bias=False) for name in ("to_k", "to_v")]
        to_q = Linear.load(source.at("to_q"), width, width, bias=False)
        return cls(to_q, Linear.joined(products), Linear.load(source.at("to_out", 0), width, width), heads)

    def __call__(self, team: ThreadTeam, x: Float, residual: Float, condition: Condition) -> Float:
        """float[n, length, width] -> the same, plus ``residual``."""
        k, v = condition.keys_and_values(team, self)
        return self.to_out(team, attend(team, self.to_q(team, x), k, v, self.heads), residual)


@dataclass(frozen=True)
class FeedForward:
    """width -> 4 * width, gated by as many -> width."""

    proj: Linear
    out: Linear

    @classmethod
    def load(cls, source: Source, width: int) -> Self:
        return cls(Linear.load(source.at("net", 0, "proj"), width, 8 * width), Linear.load(source.at("net", 2), 4 * width, width))

    def __call__(self, team: ThreadTeam, x: Float, residual: Float) -> Float:
        """float[n, length, width] -> the same, plus ``residual``."""
        return self.out(team, self.gated(team, x), residual)

    def gated(self, team: ThreadTeam, x: Float) -> Float:
        """float[n, length, width] -> float[n, length, 4 * width], between the two products."""
        rows = operand_rows(team, x)
        weight, bias = self.proj.weight(), self.proj.bias
        size = weight.shape[1] // 2
        hidden = np.empty((rows.shape[0], size), x.dtype)

        def block(where: tuple[slice, slice]) -> None:
            at, columns = where
            scratch, multiply = team.scratch, team.arithmetic.multiply
            y = hidden[at, columns]
            gates = slice(size + columns.start, size + columns.stop)
            value, gate = scratch.take("value", y.shape, y.dtype), scratch.take("gate", y.shape, y.dtype)
            multiply(rows[at], weight[:, columns], value, scratch)
            multiply(rows[at], weight[:, gates], gate, scratch)
            if bias is not None:
                value += bias[columns]
                gate += bias[gates]
            geglu(value, gate, scratch, y, team.arithmetic.exponential)

        team.map_blocks(block, row_and_column_blocks(team.threads, *hidden.shape), 4.0 * hidden.size * rows.shape[1])
        return hidden.reshape(*x.shape[:-1], size)


class ToItself(Protocol):
    """Attention of a sequence to itself, of whatever kind."""

    def __call__(self, team: ThreadTeam, x: Float, residual: Float | None = None) -> Float: ...


@dataclass(frozen=True)
class TransformerBlock:
    """diffusers' BasicTransformerBlock; ``attn1`` attends to the condition too where a model is `only_cross_attention`."""

    norm1: LayerNorm
    attn1: ToItself | CrossAttention
    norm2: LayerNorm
    attn2: CrossAttention
    norm3: LayerNorm
    ff: FeedForward

    @classmethod
    def load(cls, source: Source, width: int, heads: int, condition_width: int, *, only_cross: bool) -> Self:
        first = source.at("attn1")
        return cls(
            norm1=LayerNorm.load(source.at("norm1"), width, 1e-5),
            attn1=CrossAttention.load(first, width, heads, condition_width) if only_cross else SelfAttention.load(first, width, heads),
            norm2=LayerNorm.load(source.at("norm2"), width, 1e-5),
            attn2=CrossAttention.load(source.at("attn2"), width, heads, condition_width),
            norm3=LayerNorm.load(source.at("norm3"), width, 1e-5),
            ff=FeedForward.load(source.at("ff"), width),
        )

    def __call__(self, team: ThreadTeam, x: Float, condition: Condition, size: tuple[int, int]) -> Float:
        """float[n, length, width] -> the same; ``size`` are the height and width of what the sequence is."""
        x = self.attend(team, x, condition, size)
        x = self.attn2(team, self.norm2(team, x), x, condition)
        return self.ff(team, self.norm3(team, x), x)

    def attend(self, team: ThreadTeam, x: Float, condition: Condition, size: tuple[int, int]) -> Float:  # noqa: ARG002 for other kinds
        """``attn1`` and what stands around it: float[n, length, width] -> the same."""
        normed = self.norm1(team, x)
        return self.attn1(team, normed, x, condition) if isinstance(self.attn1, CrossAttention) else self.attn1(team, normed, x)

    def cross_attentions(self) -> list[CrossAttention]:
        return [attention for attention in (self.attn1, self.attn2) if isinstance(attention, CrossAttention)]


@dataclass(frozen=True)
class Transformer2D:
    """diffusers' Transformer2DModel: the blocks between two products, plus the input."""

    norm: GroupNorm
    proj_in: Linear
    transformer_blocks: Sequence[TransformerBlock]
    proj_out: Linear

    @classmethod
    def load(
        cls, source: Source, width: int, heads: int, layers: int, condition_width: int, groups: int, *, linear: bool, only_cross: bool
    ) -> Self:
        inner = width // heads * heads
        kernel = () if linear else (1, 1)
        return cls(
            norm=GroupNorm.load(source.at("norm"), width, groups, 1e-6),
            proj_in=Linear.load(source.at("proj_in"), width, inner, kernel=kernel),
            transformer_blocks=tuple(
                TransformerBlock.load(source.at("transformer_blocks", index), inner, heads, condition_width, only_cross=only_cross)
                for index in range(layers)
            ),
            proj_out=Linear.load(source.at("proj_out"), inner, width, kernel=kernel),
        )

    def cross_attentions(self) -> Iterator[CrossAttention]:
        for block in self.transformer_blocks:
            yield from block.cross_attentions()

    def __call__(self, team: ThreadTeam, x: Float, condition: Condition) -> Float:
        """float[n, h, w, c] -> the same."""
        n, height, width, _ = x.shape
        pixels = self.proj_in(team, self.norm(team, x))
        hidden = pixels.reshape(n, height * width, pixels.shape[3])
        for block in self.transformer_blocks:
            hidden = block(team, hidden, condition, (height, width))
        return self.proj_out(team, hidden.reshape(pixels.shape), x)

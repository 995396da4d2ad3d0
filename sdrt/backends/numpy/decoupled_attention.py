"""Cross-attention that looks at image prompts beside a text.

Each adapter has keys and values of its own, for each cross-attention; what they give is added to what the text gives, before the output's
product: Z = Attention(Q, K, V) + scale * mask * Attention(Q, K_ip, V_ip).

Source: Ye et al. 2023 (arXiv:2308.06721), equation 5; masks as diffusers 0.42.1 ``IPAdapterAttnProcessor2_0``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.attention import attend
from sdrt.backends.numpy.image_prompts import ImagePrompt
from sdrt.backends.numpy.linear import Linear, parts
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.stage import Stage
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.transformer import Condition, CrossAttention, TransformerBlock

__all__ = ["DecoupledAttention", "with_adapters", "with_keys_and_values"]


@dataclass(frozen=True, eq=False)
class DecoupledAttention(CrossAttention):
    """Attention to the condition and to image prompts.

    Parameters
    ----------
    to_kv_ip : tuple of Linear, condition's width -> 2 * width
        One for each adapter.
    index : int
        Its own among the scales of an image prompt.
    """

    to_kv_ip: tuple[Linear, ...] = ()
    index: int = 0

    def __call__(self, team: ThreadTeam, x: Float, residual: Float, condition: Condition) -> Float:
        """float[n, length, width] -> the same, plus ``residual``."""
        query, (k, v) = self.to_q(team, x), condition.keys_and_values(team, self)
        hidden = attend(team, query, k, v, self.heads)
        for adapter, prompt in enumerate(condition.images):
            self._add(team, hidden, query, adapter, prompt)
        return self.to_out(team, hidden, residual)

    def _add(self, team: ThreadTeam, hidden: Float, query: Float, adapter: int, prompt: ImagePrompt) -> None:
        """Add what one adapter gives, in place; groups of tokens that count nowhere are passed over."""
        scale = prompt.scale[:, :, self.index]
        if not scale.any():
            return
        both = prompt.computed.get(self)
        keys_and_values = self.keys_and_values_of(team, adapter, prompt.tokens) if both is None else both
        for group in np.flatnonzero(scale.any(axis=0)):
            k, v = parts(keys_and_values[:, group], 2)
            seen = attend(team, query, k, v, self.heads)
            share = scale[:, group, None]
            if prompt.shares:
                share = share * prompt.shares[query.shape[1]][:, group]
            seen *= share[..., None]
            hidden += seen

    def keys_and_values_of(self, team: ThreadTeam, adapter: int, tokens: Float) -> Float:
        """float[n, p, length, condition's width] -> float[n, p, length, 2 * width]."""
        return self.to_kv_ip[adapter](team, tokens)


def with_keys_and_values(team: ThreadTeam, prompts: Iterable[ImagePrompt], attentions: Sequence[CrossAttention]) -> tuple[ImagePrompt, ...]:
    """Return image prompts that hold the keys and values of all these attentions."""
    decoupled = [attention for attention in attentions if isinstance(attention, DecoupledAttention)]
    return tuple(
        replace(prompt, computed={each: each.keys_and_values_of(team, adapter, prompt.tokens) for each in decoupled})
        for adapter, prompt in enumerate(prompts)
    )


def with_adapters(
    stages: Sequence[Stage], place: str, source: Source, adapters: int, paths: Sequence[str], width: int
) -> tuple[Stage, ...]:
    """Return a U-Net's stages whose ``attn2`` attend to image prompts too.

    Parameters
    ----------
    stages : sequence of Stage
    place : str
        Their path: "down_blocks" or "up_blocks", or "mid_block" for the one stage that has no number.
    source : Source
        Of the whole network.
    adapters : int
    paths : sequence of str
        All cross-attentions in their order, see `cross_attentions`.
    width : int
        Of the condition.
    """

    def blocks(path: str, transformer_blocks: Sequence[TransformerBlock]) -> Iterator[TransformerBlock]:
        for index, block in enumerate(transformer_blocks):
            own = f"{path}.transformer_blocks.{index}.attn2"
            yield replace(block, attn2=_decoupled(block.attn2, source.at(own), adapters, paths.index(own), width))

    changed = []
    for number, stage in enumerate(stages):
        path = place if place == "mid_block" else f"{place}.{number}"
        attentions = tuple(
            replace(each, transformer_blocks=tuple(blocks(f"{path}.attentions.{index}", each.transformer_blocks)))
            for index, each in enumerate(stage.attentions)
        )
        changed.append(replace(stage, attentions=attentions))
    return tuple(changed)


def _decoupled(attention: CrossAttention, source: Source, adapters: int, index: int, width: int) -> DecoupledAttention:
    inner = source.weights.shape(f"{source.path}.to_q.weight")[0]
    to_kv_ip = tuple(
        Linear.joined([Linear.load(source.at("processor", name, k), width, inner, bias=False) for name in ("to_k_ip", "to_v_ip")])
        for k in range(adapters)
    )
    return DecoupledAttention(attention.to_q, attention.to_kv, attention.to_out, attention.heads, to_kv_ip, index)

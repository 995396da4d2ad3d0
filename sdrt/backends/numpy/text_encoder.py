"""CLIP's text encoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.activations import gelu, quick_gelu
from sdrt.backends.numpy.attention import attend
from sdrt.backends.numpy.configs import TextEncoderConfig
from sdrt.backends.numpy.linear import Linear, parts
from sdrt.backends.numpy.norm import LayerNorm
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import Team
from sdrt.errors import ArrayContractError

__all__ = ["TextEncoder"]

_ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": gelu}

# What Stable Diffusion's files say in place of the end token's id; the pooled state then stands at the highest id.
_LEGACY_EOS_TOKEN_ID = 2


@dataclass(frozen=True)
class Layer:
    """Causal self-attention and two products, each plus its input."""

    layer_norm1: LayerNorm
    to_qkv: Linear
    out_proj: Linear
    layer_norm2: LayerNorm
    fc1: Linear
    fc2: Linear
    heads: int
    activation: str

    @classmethod
    def load(cls, source: Source, config: TextEncoderConfig) -> Self:
        width, inner, attention, mlp = config.hidden_size, config.intermediate_size, source.at("self_attn"), source.at("mlp")
        return cls(
            layer_norm1=LayerNorm.load(source.at("layer_norm1"), width, config.layer_norm_eps),
            to_qkv=Linear.joined([Linear.load(attention.at(name), width, width) for name in ("q_proj", "k_proj", "v_proj")]),
            out_proj=Linear.load(attention.at("out_proj"), width, width),
            layer_norm2=LayerNorm.load(source.at("layer_norm2"), width, config.layer_norm_eps),
            fc1=Linear.load(mlp.at("fc1"), width, inner),
            fc2=Linear.load(mlp.at("fc2"), inner, width),
            heads=config.num_attention_heads,
            activation=config.hidden_act,
        )

    def __call__(self, team: Team, x: Float) -> Float:
        """float[n, length, width] -> the same."""
        q, k, v = parts(self.to_qkv(team, self.layer_norm1(team, x)), 3)
        x = self.out_proj(team, attend(team, q, k, v, self.heads, causal=True), x)
        hidden = self.fc1(team, self.layer_norm2(team, x))
        _ACTIVATIONS[self.activation](hidden, team.scratch)
        return self.fc2(team, hidden, x)


@dataclass(frozen=True)
class TextEncoder:
    """`input_ids` i32[n, length] -> `last_hidden_state`, `penultimate_hidden_state`, `pooled`.

    Parameters
    ----------
    clip_skip : int
        Last layers that the two states leave out; fewer than there are.
    """

    config: TextEncoderConfig
    token_embedding: Float
    position_embedding: Float
    layers: tuple[Layer, ...]
    final_layer_norm: LayerNorm
    text_projection: Linear | None
    clip_skip: int = 0

    @classmethod
    def load(cls, source: Source, config: TextEncoderConfig, clip_skip: int = 0) -> Self:
        width, embeddings = config.hidden_size, source.at("embeddings")
        return cls(
            config=config,
            token_embedding=embeddings.at("token_embedding").take("weight", config.vocab_size, width),
            position_embedding=embeddings.at("position_embedding").take("weight", config.max_position_embeddings, width),
            layers=tuple(Layer.load(source.at("encoder", "layers", index), config) for index in range(config.num_hidden_layers)),
            final_layer_norm=LayerNorm.load(source.at("final_layer_norm"), width, config.layer_norm_eps),
            text_projection=None
            if config.projection_dim is None
            else Linear.load(source.at("text_projection"), width, config.projection_dim, bias=False),
            clip_skip=clip_skip,
        )

    def run(self, team: Team, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run all layers.

        Raises
        ------
        ArrayContractError : an id outside the vocabulary
        """
        ids = inputs["input_ids"]
        if ids.size and not 0 <= ids.min() <= ids.max() < self.config.vocab_size:
            raise ArrayContractError(
                f"text_encoder input: input_ids holds {ids.min()}..{ids.max()}, but the vocabulary has {self.config.vocab_size} tokens; "
                "use the tokenizer of this model"
            )
        x: Float = self.token_embedding[ids] + self.position_embedding[: ids.shape[1]]
        kept = len(self.layers) - self.clip_skip
        before = x
        for layer in self.layers[:kept]:
            before, x = x, layer(team, x)
        last = whole = self.final_layer_norm(team, x)
        if self.clip_skip:
            for layer in self.layers[kept:]:
                x = layer(team, x)
            whole = self.final_layer_norm(team, x)
        legacy = self.config.eos_token_id == _LEGACY_EOS_TOKEN_ID
        ends = (ids if legacy else ids == self.config.eos_token_id).argmax(axis=1)
        pooled: Float = whole[np.arange(len(ids)), ends]
        if self.text_projection is not None:
            pooled = self.text_projection(team, pooled)
        return {"last_hidden_state": last, "penultimate_hidden_state": before, "pooled": pooled}

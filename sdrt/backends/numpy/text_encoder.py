"""CLIP's text encoders."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.component_options import ComponentOptions
from sdrt.backends.numpy.clip import ClipLayer
from sdrt.backends.numpy.configs import TextEncoderConfig
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.norm import LayerNorm
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.errors import ArrayContractError
from sdrt.models.components import ComponentName

__all__ = ["TextEmbeddings", "TextEncoder"]

# What Stable Diffusion's files say in place of the end token's id; the pooled state then stands at the highest id.
_LEGACY_EOS_TOKEN_ID = 2


@dataclass(frozen=True)
class TextEmbeddings:
    """Tokens and their places as vectors.

    Parameters
    ----------
    token_embedding : float[vocabulary, width]
        In the dtype of its file: only the rows of the tokens are widened.
    position_embedding : float[places, width]
    """

    token_embedding: Array
    position_embedding: Float

    @classmethod
    def load(cls, source: Source, config: TextEncoderConfig) -> Self:
        width = config.hidden_size
        return cls(
            token_embedding=source.at("token_embedding").stored("weight", config.vocab_size, width),
            position_embedding=source.at("position_embedding").take("weight", config.max_position_embeddings, width),
        )

    def __call__(self, ids: Array) -> Float:
        """i32[n, length] -> float[n, length, width]."""
        embedded: Float = self.token_embedding[ids].astype(self.position_embedding.dtype) + self.position_embedding[: ids.shape[1]]
        return embedded


@dataclass(frozen=True)
class TextEncoder:
    """`input_ids` i32[n, length] -> `last_hidden_state`, `penultimate_hidden_state`, `pooled`.

    Parameters
    ----------
    clip_skip : int
        Last layers that the two states leave out; fewer than there are.
    """

    config: TextEncoderConfig
    component: ComponentName
    embeddings: TextEmbeddings
    layers: tuple[ClipLayer, ...]
    final_layer_norm: LayerNorm
    text_projection: Linear | None
    clip_skip: int = 0

    @classmethod
    def load(cls, component: ComponentName, source: Source, config: TextEncoderConfig) -> Self:
        width = config.hidden_size
        return cls(
            config=config,
            component=component,
            embeddings=TextEmbeddings.load(source.at("embeddings"), config),
            layers=ClipLayer.load_all(source.at("encoder"), config, causal=True),
            final_layer_norm=LayerNorm.load(source.at("final_layer_norm"), width, config.layer_norm_eps),
            text_projection=None
            if config.projection_dim is None
            else Linear.load(source.at("text_projection"), width, config.projection_dim, bias=False),
        )

    def with_options(self, options: ComponentOptions) -> Self:
        """Return the text encoder with these options and this one's weights."""
        return replace(self, clip_skip=options.clip_skip)

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run all layers.

        Raises
        ------
        ArrayContractError : an id outside the vocabulary
        """
        ids = inputs["input_ids"]
        if ids.size and not 0 <= ids.min() <= ids.max() < self.config.vocab_size:
            raise ArrayContractError(
                f"{self.component} input: input_ids holds {ids.min()}..{ids.max()}, but the vocabulary has {self.config.vocab_size} "
                "tokens; use the tokenizer of this model"
            )
        x = self.embeddings(ids)
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

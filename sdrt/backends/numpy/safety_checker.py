"""StableDiffusionSafetyChecker: CLIP's picture tower, and how near its result lies to the concepts that the model names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.arithmetic import Arithmetic
from sdrt.backends.numpy.clip import ClipLayer
from sdrt.backends.numpy.configs import SafetyCheckerConfig
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.norm import LayerNorm
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["SafetyChecker"]

_CONCEPTS, _SPECIAL_CONCEPTS = 17, 3  # fixed by diffusers' class


@dataclass(frozen=True)
class Concepts:
    """Directions in CLIP's space, and how near a picture may come to each.

    Parameters
    ----------
    directions : float[width, count]
        Packed columns of length 1.
    thresholds : float[count]
        Cosines.
    """

    directions: Float
    thresholds: Float

    @classmethod
    def load(cls, source: Source, name: str, count: int, width: int) -> Self:
        arithmetic = source.arithmetic
        directions = _normalised(arithmetic, source.take(name, count, width)).T
        return cls(arithmetic.pack(directions), source.take(f"{name}_weights", count))

    def scores(self, team: ThreadTeam, embeds: Float) -> Float:
        """float[n, width], of length 1 -> float[n, count]: cosines less the thresholds; above 0 is too near."""
        scores = np.empty((len(embeds), len(self.thresholds)), embeds.dtype)
        team.arithmetic.multiply(embeds, self.directions, scores, team.scratch)
        scores -= self.thresholds
        return scores


@dataclass(frozen=True)
class SafetyChecker:
    """`clip_input` float[n, C, S, S] -> `concept_scores` float[n, 17], `special_scores` float[n, 3]."""

    patch_size: int
    patch_embedding: Linear
    class_embedding: Float
    position_embedding: Float
    pre_layrnorm: LayerNorm  # spelt so in CLIP's own tensors
    layers: tuple[ClipLayer, ...]
    post_layernorm: LayerNorm
    visual_projection: Linear
    concepts: Concepts
    special_concepts: Concepts

    @classmethod
    def load(cls, source: Source, config: SafetyCheckerConfig) -> Self:
        width, patch, joint = config.hidden_size, config.patch_size, config.projection_dim
        tower, places = source.at("vision_model"), (config.image_size // patch) ** 2 + 1
        embeddings = tower.at("embeddings")
        return cls(
            patch_size=patch,
            patch_embedding=Linear.load(embeddings.at("patch_embedding"), config.num_channels, width, bias=False, kernel=(patch, patch)),
            class_embedding=embeddings.take("class_embedding", width),
            position_embedding=embeddings.at("position_embedding").take("weight", places, width),
            pre_layrnorm=LayerNorm.load(tower.at("pre_layrnorm"), width, config.layer_norm_eps),
            layers=ClipLayer.load_all(tower.at("encoder"), config, causal=False),
            post_layernorm=LayerNorm.load(tower.at("post_layernorm"), width, config.layer_norm_eps),
            visual_projection=Linear.load(source.at("visual_projection"), width, joint, bias=False),
            concepts=Concepts.load(source, "concept_embeds", _CONCEPTS, joint),
            special_concepts=Concepts.load(source, "special_care_embeds", _SPECIAL_CONCEPTS, joint),
        )

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        patches = self._patches(inputs["clip_input"])
        x = np.empty((len(patches), 1 + patches.shape[1], len(self.class_embedding)), patches.dtype)
        x[:, 0] = self.class_embedding
        x[:, 1:] = self.patch_embedding(team, patches)
        x += self.position_embedding
        x = self.pre_layrnorm(team, x)
        for layer in self.layers:
            x = layer(team, x)
        embeds = _normalised(team.arithmetic, self.visual_projection(team, self.post_layernorm(team, x[:, 0])))
        return {"concept_scores": self.concepts.scores(team, embeds), "special_scores": self.special_concepts.scores(team, embeds)}

    def _patches(self, pictures: Float) -> Float:
        """float[n, C, S, S] -> float[n, patches, C * patch * patch]; pixels that make no whole patch are left out."""
        n, channels, size, _ = pictures.shape
        patch, count = self.patch_size, size // self.patch_size
        whole = pictures[:, :, : count * patch, : count * patch].reshape(n, channels, count, patch, count, patch)
        return whole.transpose(0, 2, 4, 1, 3, 5).reshape(n, count * count, -1)


def _normalised(arithmetic: Arithmetic, x: Float) -> Float:
    """Rows of length 1; torch's `normalize` divides by no less than 1e-12."""
    lengths = np.sqrt(arithmetic.total(x * x, 1, keepdims=True))
    normalised: Float = x / np.maximum(lengths, np.asarray(1e-12, x.dtype))
    return normalised

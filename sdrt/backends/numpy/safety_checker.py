"""StableDiffusionSafetyChecker: CLIP's picture tower, and how near its result lies to the concepts that the model names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.arithmetic import Arithmetic
from sdrt.backends.numpy.clip_vision import VisionTower
from sdrt.backends.numpy.configs import VisionConfig
from sdrt.backends.numpy.linear import Linear
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

    vision_model: VisionTower
    visual_projection: Linear
    concepts: Concepts
    special_concepts: Concepts

    @classmethod
    def load(cls, source: Source, config: VisionConfig) -> Self:
        joint = config.projection_dim
        return cls(
            vision_model=VisionTower.load(source.at("vision_model"), config),
            visual_projection=Linear.load(source.at("visual_projection"), config.hidden_size, joint, bias=False),
            concepts=Concepts.load(source, "concept_embeds", _CONCEPTS, joint),
            special_concepts=Concepts.load(source, "special_care_embeds", _SPECIAL_CONCEPTS, joint),
        )

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        _, pooled = self.vision_model(team, inputs["clip_input"])
        embeds = _normalised(team.arithmetic, self.visual_projection(team, pooled))
        return {"concept_scores": self.concepts.scores(team, embeds), "special_scores": self.special_concepts.scores(team, embeds)}


def _normalised(arithmetic: Arithmetic, x: Float) -> Float:
    """Rows of length 1; torch's `normalize` divides by no less than 1e-12."""
    lengths = np.sqrt(arithmetic.total(x * x, 1, keepdims=True))
    normalised: Float = x / np.maximum(lengths, np.asarray(1e-12, x.dtype))
    return normalised

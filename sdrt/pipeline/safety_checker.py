"""The safety checker of Stable Diffusion 1.x: flag pictures by its network's scores, and hide the flagged ones.

Source: diffusers 0.42.1 ``StableDiffusionSafetyChecker``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from sdrt.arrays import F32, Float
from sdrt.backends.pool import CheckedNetwork
from sdrt.pipeline.feature_extractor import FeatureExtractor

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FlaggedPictures", "clip_input", "flag", "hide", "is_flagged"]

FlaggedPictures: TypeAlias = Literal["black", "blurred"]

# The deviation of the blur, as a share of the longer side: what is left has the detail of about eight by eight pixels.
_BLUR = 1 / 8

_ADJUSTMENT = 0.01  # raises every score once a special concept is found
_DIGITS = 3  # scores are rounded to this many before the comparison


def flag(checker: CheckedNetwork, images: "Sequence[Image]", extractor: Mapping[str, Any]) -> tuple[bool, ...]:
    """Decide for each picture whether it is flagged.

    Parameters
    ----------
    checker : CheckedNetwork
    images : sequence of PIL images
    extractor : mapping
        The model's ``preprocessor_config.json``; empty: CLIP's own.
    """
    size = checker.signature.inputs[0].shape[2]
    if not isinstance(size, int):
        size = 224
    outputs = checker(clip_input=clip_input(images, size, extractor).astype(checker.float_dtype(), copy=False))
    if "has_nsfw" in outputs:
        # a Core ML package decides by itself
        return tuple(outputs["has_nsfw"].tolist())
    return tuple(is_flagged(*scores) for scores in zip(outputs["concept_scores"], outputs["special_scores"], strict=True))


def is_flagged(concept_scores: Float, special_scores: Float) -> bool:
    """Decide whether one picture is flagged.

    Parameters
    ----------
    concept_scores : float[17], special_scores : float[3]
        Similarity to each concept, minus that concept's threshold.

    >>> is_flagged(np.array([-0.005]), np.array([-1.0])), is_flagged(np.array([-0.005]), np.array([0.2]))
    (False, True)
    """
    adjustment = 0.0
    for score in special_scores.tolist():
        if round(score + adjustment, _DIGITS) > 0:
            adjustment = _ADJUSTMENT
    return any(round(score + adjustment, _DIGITS) > 0 for score in concept_scores.tolist())


def hide(images: "Sequence[Image]", flagged: Sequence[bool], how: FlaggedPictures) -> "list[Image]":
    """Return the pictures, each flagged one replaced by a black one of the same size, or blurred until nothing can be recognised."""
    return [_hidden(image, how) if bad else image for image, bad in zip(images, flagged, strict=True)]


def _hidden(image: "Image", how: FlaggedPictures) -> "Image":
    from PIL import Image, ImageFilter

    return Image.new(image.mode, image.size) if how == "black" else image.filter(ImageFilter.GaussianBlur(_BLUR * max(image.size)))


def clip_input(images: "Sequence[Image]", size: int, config: Mapping[str, Any] | None = None) -> F32:
    """Prepare pictures for the safety checker as its feature extractor is configured, see :class:`FeatureExtractor`: f32[n,3,size,size].

    Raises
    ------
    ConfigError : pictures come out in another size
    """
    extractor = FeatureExtractor.read(config or {}, size)
    return np.stack([extractor(image) for image in images])

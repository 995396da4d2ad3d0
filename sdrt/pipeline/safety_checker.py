"""The safety checker of Stable Diffusion 1.x: flag pictures by its network's scores, and blacken the flagged ones.

Source: diffusers 0.42.1 ``StableDiffusionSafetyChecker``; transformers 5 ``CLIPImageProcessor``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdrt.arrays import F32, Float
from sdrt.backends.pool import CheckedNetwork

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["blacken", "clip_input", "flag", "is_flagged"]

# The mean and deviation of each colour in CLIP's training pictures, for a model whose feature extractor does not state them.
_COLOURS: Mapping[str, Sequence[float]] = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}

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


def blacken(images: "Sequence[Image]", flagged: Sequence[bool]) -> "list[Image]":
    """Return the pictures, each flagged one replaced by a black one of the same size."""
    from PIL import Image

    return [Image.new(image.mode, image.size) if bad else image for image, bad in zip(images, flagged, strict=True)]


def clip_input(images: "Sequence[Image]", size: int, extractor: Mapping[str, Any] | None = None) -> F32:
    """Prepare pictures for CLIP: the shorter side scaled to ``size``, the middle cut out, colours normalised: f32[n,3,size,size]."""
    mean, deviation = (_colours(name, extractor or {}) for name in _COLOURS)
    return np.stack([_clip_input(image, size, mean, deviation) for image in images])


def _colours(name: str, extractor: Mapping[str, Any]) -> F32:
    return np.array(extractor.get(name, _COLOURS[name]), np.float32)


def _clip_input(image: "Image", size: int, mean: F32, deviation: F32) -> F32:
    from PIL.Image import Resampling

    width, height = image.size
    short, long = sorted((width, height))
    scaled = int(size * long / short)
    target = (size, scaled) if width <= height else (scaled, size)
    pixels = np.asarray(image.convert("RGB").resize(target, Resampling.BICUBIC), np.float32)
    top, left = (target[1] - size) // 2, (target[0] - size) // 2
    unit = pixels[top : top + size, left : left + size] * np.float32(1 / 255)
    return np.ascontiguousarray(((unit - mean) / deviation).transpose(2, 0, 1))

"""The safety checker: what Stable Diffusion 1.x's own network says of pictures, and what becomes of those that it flags.

Source: diffusers 0.42.1 ``StableDiffusionSafetyChecker``; transformers 5 ``CLIPImageProcessor`` with CLIP's own settings.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import F32, Float
from sdrt.backends.pool import CheckedNetwork

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["blacken", "clip_input", "flag", "is_flagged"]

# Of the pictures that CLIP was trained on, by colour.
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)

_ADJUSTMENT = 0.01  # every concept's score rises by this once a special one is found
_DIGITS = 3  # scores are rounded before they are judged


def flag(checker: CheckedNetwork, images: "Sequence[Image]") -> tuple[bool, ...]:
    """Whether each picture is flagged."""
    size = checker.signature.inputs[0].shape[2]
    if not isinstance(size, int):
        size = 224
    found = checker(clip_input=clip_input(images, size).astype(checker.float_dtype(), copy=False))
    if "has_nsfw" in found:
        # a Core ML package judges by itself
        return tuple(found["has_nsfw"].tolist())
    return tuple(is_flagged(*scores) for scores in zip(found["concept_scores"], found["special_scores"], strict=True))


def is_flagged(concept_scores: Float, special_scores: Float) -> bool:
    """Judge one picture.

    Parameters
    ----------
    concept_scores : float[17], special_scores : float[3]
        Similarity to each concept, less that concept's threshold.

    >>> is_flagged(np.array([-0.005]), np.array([-1.0])), is_flagged(np.array([-0.005]), np.array([0.2]))
    (False, True)
    """
    adjustment = 0.0
    for score in special_scores.tolist():
        if round(score + adjustment, _DIGITS) > 0:
            adjustment = _ADJUSTMENT
    return any(round(score + adjustment, _DIGITS) > 0 for score in concept_scores.tolist())


def blacken(images: "Sequence[Image]", flagged: Sequence[bool]) -> "list[Image]":
    """The pictures, with black ones of the same size in the place of those that are flagged."""
    from PIL import Image

    return [Image.new(image.mode, image.size) if bad else image for image, bad in zip(images, flagged, strict=True)]


def clip_input(images: "Sequence[Image]", size: int) -> F32:
    """Pictures as CLIP sees them: the shorter side scaled to ``size``, the middle cut out, colours normalised: f32[n,3,size,size]."""
    return np.stack([_clip_input(image, size) for image in images])


def _clip_input(image: "Image", size: int) -> F32:
    from PIL.Image import Resampling

    width, height = image.size
    short, long = sorted((width, height))
    scaled = int(size * long / short)
    target = (size, scaled) if width <= height else (scaled, size)
    pixels = np.asarray(image.convert("RGB").resize(target, Resampling.BICUBIC), np.float32)
    top, left = (target[1] - size) // 2, (target[0] - size) // 2
    unit = pixels[top : top + size, left : left + size] * np.float32(1 / 255)
    return np.ascontiguousarray(((unit - _MEAN) / _DEVIATION).transpose(2, 0, 1))

"""Guidance: which rows a network is asked for, and how its answers become one prediction."""

from sdrt.guidance.classifier_free import guidance_embedding, guide, is_guided, rescale

__all__ = ["guidance_embedding", "guide", "is_guided", "rescale"]

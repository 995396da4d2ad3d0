"""Choose the guidance of a run."""

from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.guidance.base import AMOUNT, Guidance
from sdrt.guidance.cfg_plus_plus import CFGPlusPlusGuidance
from sdrt.guidance.classifier_free import ClassifierFreeGuidance, is_guided
from sdrt.guidance.embedded import EmbeddedGuidance
from sdrt.guidance.rescaled import RescaledGuidance
from sdrt.guidance.unguided import Unguided
from sdrt.values import Flag

__all__ = ["choose_guidance"]


def choose_guidance(
    scale: float,
    rescale: float = 0.0,
    *,
    embedding_size: int | None = None,
    needs_unconditional: bool = False,
    functions: Functions = PLATFORM,
) -> Guidance:
    """Choose the guidance of a run.

    Parameters
    ----------
    scale, rescale : float
        The settings ``guidance_scale`` and ``guidance_rescale``.
    embedding_size : int or None
        Length of the embedding in which the U-Net takes the scale; None for a U-Net without one.
    needs_unconditional : bool
        Whether the sampler also uses the unconditional prediction (CFG++), at every scale.
    functions : Functions
        That embeddings and deviations are computed with.

    >>> choose_guidance(1.0), choose_guidance(7.5)
    (Unguided(), ClassifierFreeGuidance(scale=7.5))
    """
    rescale = AMOUNT.check("guidance_rescale", rescale)
    needs_unconditional = Flag().check("needs_unconditional", needs_unconditional)
    if embedding_size is not None:
        return EmbeddedGuidance(scale, embedding_size, functions)
    if not (needs_unconditional or is_guided(scale)):
        return Unguided()
    guidance: Guidance = ClassifierFreeGuidance(scale)
    if rescale > 0:
        guidance = RescaledGuidance(guidance, rescale, functions)
    return CFGPlusPlusGuidance(guidance) if needs_unconditional else guidance

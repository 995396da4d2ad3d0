"""Choose the guidance of a run: one that combines the rows, and others around it, each of which changes what the inner one returns."""

from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.guidance.base import AMOUNT, Guidance
from sdrt.guidance.cfg_plus_plus import CFGPlusPlusGuidance
from sdrt.guidance.classifier_free import ClassifierFreeGuidance, is_guided
from sdrt.guidance.embedded import EmbeddedGuidance
from sdrt.guidance.perturbed import PerturbedGuidance
from sdrt.guidance.projected import ProjectedGuidance
from sdrt.guidance.projected_diffusers import DiffusersProjectedGuidance
from sdrt.guidance.rescaled import RescaledGuidance
from sdrt.guidance.thresholded import ThresholdedGuidance
from sdrt.guidance.unguided import Unguided
from sdrt.guidance_options import APG, DynamicThresholding
from sdrt.values import Flag

__all__ = ["choose_guidance"]


def choose_guidance(
    scale: float,
    rescale: float = 0.0,
    *,
    apg: APG | None = None,
    dynamic_thresholding: DynamicThresholding | None = None,
    pag_scale: float = 0.0,
    pag_adaptive_scale: float = 0.0,
    embedding_size: int | None = None,
    needs_unconditional: bool = False,
    as_diffusers: bool = False,
    functions: Functions = PLATFORM,
) -> Guidance:
    """Choose the guidance of a run.

    The order is part of the contract, from the inside out: the rows are combined (by classifier-free guidance, or by APG in its place);
    perturbed-attention guidance adds its part; dynamic thresholding bounds the denoised sample; rescaling restores the deviation of the
    prediction; CFG++ passes on the unconditional prediction. A further method wraps ``guidance`` at its place in that order.

    Parameters
    ----------
    scale, rescale : float
        The settings ``guidance_scale`` and ``guidance_rescale``.
    apg, dynamic_thresholding
        The settings of these names; None: off.
    pag_scale, pag_adaptive_scale : float
        The settings of these names; a scale of 0 is off.
    embedding_size : int or None
        Length of the embedding in which the U-Net takes the scale; None for a U-Net without one.
    needs_unconditional : bool
        Whether the sampler also uses the unconditional prediction (CFG++), at every scale.
    as_diffusers : bool
        Whether APG is that of diffusers' guider.
    functions : Functions
        That embeddings, deviations and the like are computed with.

    >>> choose_guidance(1.0), choose_guidance(7.5)
    (Unguided(), ClassifierFreeGuidance(scale=7.5))
    """
    rescale = AMOUNT.check("guidance_rescale", rescale)
    needs_unconditional = Flag().check("needs_unconditional", needs_unconditional)

    def with_perturbed(guidance: Guidance) -> Guidance:
        return PerturbedGuidance(guidance, pag_scale, pag_adaptive_scale) if pag_scale else guidance

    if embedding_size is not None:
        return with_perturbed(EmbeddedGuidance(scale, embedding_size, functions))
    if not (needs_unconditional or is_guided(scale)):
        return with_perturbed(Unguided())
    guidance: Guidance = ClassifierFreeGuidance(scale)
    if apg is not None:
        guidance = (DiffusersProjectedGuidance if as_diffusers else ProjectedGuidance)(scale, apg, functions)
    guidance = with_perturbed(guidance)
    if dynamic_thresholding is not None:
        guidance = ThresholdedGuidance(guidance, dynamic_thresholding, functions)
    if rescale > 0:
        guidance = RescaledGuidance(guidance, rescale, functions)
    if needs_unconditional:
        guidance = CFGPlusPlusGuidance(guidance)
    return guidance

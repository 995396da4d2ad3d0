"""Dynamic thresholding: bring the values of a strongly guided sample back into the range that a weaker guidance would give.

Imagen clips the denoised picture to a percentile s of its own values and divides by s, so that pixels stay within [-1, 1]. Latents have no
such range; in its place stands that of the same predictions guided at a lower scale, the *mimic*. For each channel of each image, around
the channel's mean:

    m = max |mimic|,   s = percentile of |guided|,   guided <- clip(guided, -max(m, s), max(m, s)) * m / max(m, s)

which is Imagen's formula where m is 1. (The scheduler's own ``thresholding`` is Imagen's as it stands, for models of pixels: see
`sdrt.schedulers`.)

Sources: Saharia et al. 2022 (arXiv:2205.11487), section 2.3; the mimic scale of mcmonkey's sd-dynamic-thresholding, with its defaults
(channels apart, around the mean, "absolute" variability).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.errors import ArrayContractError
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.exact.quantiles import row_quantiles
from sdrt.guidance.base import AMOUNT, Call, Guidance, Guided, check_call, check_predictions, split_rows
from sdrt.guidance.classifier_free import guide
from sdrt.guidance.rows import Row
from sdrt.guidance_options import DynamicThresholding

__all__ = ["ThresholdedGuidance", "threshold"]


@dataclass(frozen=True)
class ThresholdedGuidance:
    """Guide by another guidance, and bring the denoised sample into the range of classifier-free guidance at the mimic scale.

    Parameters
    ----------
    guidance : Guidance
        One with the rows ``negative`` and ``prompt``.
    thresholding : DynamicThresholding
    functions : Functions
        That means are computed with.
    """

    guidance: Guidance
    thresholding: DynamicThresholding
    functions: Functions = PLATFORM

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those of the other guidance."""
        return self.guidance.rows

    @property
    def unet_inputs(self) -> Mapping[str, Array]:
        """Those of the other guidance."""
        return self.guidance.unet_inputs

    def __call__(self, predictions: Float, call: Call, /) -> Guided:
        """Guide, then threshold."""
        guided = self.guidance(predictions, check_call(call))
        split = split_rows(predictions, self.rows)
        mimic = call.denoised(guide(split["negative"], split["prompt"], self.thresholding.mimic_scale))
        x0 = call.denoised(guided.output)
        change = threshold(x0, mimic, self.thresholding.percentile, self.functions) - x0
        return replace(guided, output=guided.output + change / call.x0_weights[1])


def threshold(guided: Float, mimic: Float, percentile: float, functions: Functions = PLATFORM) -> Float:
    """Bring each channel of ``guided`` into the range of that of ``mimic``, both float[n,C,h,w]; returns a new array."""
    share = AMOUNT.check("percentile", percentile)
    if check_predictions(guided).shape != check_predictions(mimic).shape or guided.ndim < 3:
        shapes = f"{list(guided.shape)} and {list(mimic.shape)}"
        raise ArrayContractError(f"guided and mimic must be of one shape [n,C,h,w], got {shapes}; pass such arrays")
    channels, pattern = (each.reshape(each.shape[0] * each.shape[1], -1) for each in (guided, mimic))
    means, centres = (functions.mean(each, 1).astype(guided.dtype, copy=False)[:, None] for each in (channels, pattern))
    centred = channels - means
    allowed = np.abs(pattern - centres).max(axis=1, keepdims=True)
    limits = np.maximum(allowed, row_quantiles(np.abs(centred), share)[:, None])
    ratios = allowed / np.where(limits > 0, limits, 1).astype(guided.dtype)
    bounded: Float = np.clip(centred, -limits, limits) * ratios + means
    return bounded.reshape(guided.shape)

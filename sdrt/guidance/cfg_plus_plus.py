"""CFG++: the sampler renoises with the prediction without the prompt, so that it is handed both.

Source: Chung et al. 2024 (arXiv:2406.08070), algorithm 2. Where the step uses which prediction is the sampler's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sdrt.arrays import Array, Float
from sdrt.guidance.base import Call, Guidance, Guided, Row, split_rows

__all__ = ["CFGPlusPlusGuidance"]


@dataclass(frozen=True)
class CFGPlusPlusGuidance:
    """Another guidance, handed on beside the prediction without the prompt.

    Parameters
    ----------
    guidance : Guidance
        With a row ``negative``, whatever its scale: the usual ones lie in [0, 1].
    """

    guidance: Guidance

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those of the other guidance."""
        return self.guidance.rows

    @property
    def unet_inputs(self) -> Mapping[str, Array]:
        """Those of the other guidance."""
        return self.guidance.unet_inputs

    def __call__(self, predictions: Float, call: Call, /) -> Guided:
        """Guide, and hand on the prediction without the prompt."""
        return replace(self.guidance(predictions, call), unconditional=split_rows(predictions, self.rows)["negative"])

"""CFG++: the sampler renoises with the unconditional prediction, so it takes both predictions.

Source: Chung et al. 2024 (arXiv:2406.08070), algorithm 2. The sampler decides where its step uses which prediction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sdrt.arrays import Array, Float
from sdrt.guidance.base import Call, Guidance, Guided, split_rows
from sdrt.guidance.rows import Row

__all__ = ["CFGPlusPlusGuidance"]


@dataclass(frozen=True)
class CFGPlusPlusGuidance:
    """Pass on the prediction of another guidance together with the unconditional one.

    Parameters
    ----------
    guidance : Guidance
        One with a row ``negative``; its scale usually lies in [0, 1].
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
        """Guide, and pass on the unconditional prediction."""
        return replace(self.guidance(predictions, call), unconditional=split_rows(predictions, self.rows)["negative"])

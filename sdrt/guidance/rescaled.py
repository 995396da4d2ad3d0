"""Guidance rescale: guidance increases the deviation of a prediction, which overexposes pictures; reduce it again.

Source: Lin et al. 2024 (arXiv:2305.08891), equations 15 and 16.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sdrt.arrays import Array, Float
from sdrt.errors import ArrayContractError
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.guidance.base import AMOUNT, Call, Guidance, Guided, check_predictions, split_rows
from sdrt.guidance.rows import Row

__all__ = ["RescaledGuidance", "rescale"]


@dataclass(frozen=True)
class RescaledGuidance:
    """Rescale the prediction of another guidance towards the deviation of the conditional one.

    Parameters
    ----------
    guidance : Guidance
        One with a row ``prompt``.
    amount : float in [0, 1]
        phi of the paper: 0 changes nothing, 1 gives the deviation of the conditional prediction.
    functions : Functions
        That deviations are computed with.
    """

    guidance: Guidance
    amount: float
    functions: Functions = PLATFORM

    def __post_init__(self) -> None:
        object.__setattr__(self, "amount", AMOUNT.check("guidance_rescale", self.amount))

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those of the other guidance."""
        return self.guidance.rows

    @property
    def unet_inputs(self) -> Mapping[str, Array]:
        """Those of the other guidance."""
        return self.guidance.unet_inputs

    def __call__(self, predictions: Float, call: Call, /) -> Guided:
        """Guide, then rescale."""
        guided = self.guidance(predictions, call)
        cond = split_rows(predictions, self.rows)["prompt"]
        return replace(guided, output=rescale(guided.output, cond, self.amount, self.functions))


def rescale(guided: Float, cond: Float, amount: float, functions: Functions = PLATFORM) -> Float:
    """Bring the deviation of ``guided`` back to that of ``cond``, image by image.

    The deviation is that of a sample (ddof 1), as torch takes it.
    """
    share = AMOUNT.check("guidance_rescale", amount)
    if check_predictions(guided).shape != check_predictions(cond).shape:
        raise ArrayContractError(f"guided and cond must be of one shape, got {list(guided.shape)} and {list(cond.shape)}; pass such arrays")
    axes = tuple(range(1, cond.ndim))
    ratio = functions.deviation(cond, axes) / functions.deviation(guided, axes)
    factor: Float = (share * ratio + (1 - share)).astype(guided.dtype)
    return guided * factor

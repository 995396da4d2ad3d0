"""IA3: each output channel, or each input channel, is scaled by a number of its own.

Source: Liu et al. 2022 (arXiv:2205.05638), section 3.3; LyCORIS, ``modules/ia3.py``.
"""

import math
from dataclasses import dataclass

from sdrt.arrays import Float
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.models.lora.factors import Factors

__all__ = ["Ia3Delta", "ia3_delta"]


@dataclass(frozen=True, eq=False)
class Ia3Delta:
    """W times the learnt numbers along one axis; alpha does not scale it.

    Parameters
    ----------
    factors : Factors
        ``weight`` holds the numbers.
    axis : int
        0: one number for each output; 1: for each input.
    """

    factors: Factors
    axis: int

    def __call__(self, weight: Float, functions: Functions = PLATFORM) -> Float:  # noqa: ARG002
        numbers = self.factors.read("weight", weight.dtype).reshape(-1)
        product: Float = weight * numbers.reshape([-1 if axis == self.axis else 1 for axis in range(weight.ndim)])
        return product


def ia3_delta(factors: Factors) -> Ia3Delta:
    """Check a layer of IA3, and return what it adds.

    Raises
    ------
    ModelError : a tensor is missing, or does not fit
    """
    factors.need({"weight": "weight", "on_input": "on_input"})
    on_input = factors.tensors["on_input"].array()
    factors.check(on_input.size == 1 and len(factors.shape) >= 2)
    axis = int(bool(on_input.reshape(-1)[0]))
    factors.check(math.prod(factors.shape_of("weight")) == factors.shape[axis])
    return Ia3Delta(factors, axis)

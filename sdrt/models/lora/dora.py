"""DoRA: a layer of another kind changes the direction of each row or column of a weight, and learnt magnitudes replace their lengths.

Source: Liu et al. 2024 (arXiv:2402.09353), equation 5.
"""

import math
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ModelError
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.models.lora.delta import Delta
from sdrt.models.lora.factors import Factors

__all__ = ["DoraDelta", "dora_delta"]


@dataclass(frozen=True, eq=False)
class DoraDelta:
    """m * (W + inner(W)) / norm(W + inner(W)) - W, the norms along one axis.

    Strength then mixes the weight with its decomposed form, as AUTOMATIC1111 and ComfyUI do; peft scales the inner change instead, which at
    strength 0 is not the weight.

    Parameters
    ----------
    inner : Delta
    factors : Factors
    name : str
        Which of them holds the magnitudes.
    axis : int
        0: one magnitude for each output; 1: for each input, as LyCORIS wrote before 3.0.
    """

    inner: Delta
    factors: Factors
    name: str
    axis: int

    def __call__(self, weight: Float, functions: Functions = PLATFORM) -> Float:
        changed = weight + self.inner(weight, functions)
        others = tuple(axis for axis in range(weight.ndim) if axis != self.axis)
        norms = np.sqrt(functions.sum(np.square(changed), others, dtype=np.float64, keepdims=True))
        magnitudes = self.factors.read(self.name, np.dtype(np.float64)).reshape(norms.shape)
        if not norms.all():
            raise ModelError(f"{self.factors.where} leaves a channel of length 0, which DoRA cannot scale; the file is for another model")
        changed *= (magnitudes / norms).astype(weight.dtype)
        changed -= weight
        return changed


def dora_delta(inner: Delta, factors: Factors) -> DoraDelta:
    """Check the magnitudes of a layer, and return what it adds with them.

    Raises
    ------
    ModelError : they do not fit
    """
    out, into, *kernel = (*factors.shape, 1, 1)[: max(2, len(factors.shape))]
    if "magnitude" in factors:
        # peft's: f[out], or f[1, out, 1, 1] for a convolution
        factors.check(math.prod(factors.shape_of("magnitude")) == out)
        return DoraDelta(inner, factors, "magnitude", 0)
    shape, pixel = factors.shape_of("dora_scale"), [1] * len(kernel)
    by_output = list(shape) == [out, 1, *pixel] or shape == (out,)
    factors.check(by_output or list(shape) == [1, into, *pixel])
    return DoraDelta(inner, factors, "dora_scale", 0 if by_output else 1)

"""LoHa: the elementwise product of two low-rank matrices, whose rank is up to the square of theirs.

Source: Hyeon-Woo et al. 2021 (arXiv:2108.06098), propositions 1 and 3; the names of the factors are LyCORIS' (``modules/loha.py``).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import Float
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.models.lora.factors import Factors
from sdrt.models.lora.tucker import fits_tucker, tucker_product

__all__ = ["LohaDelta", "loha_delta"]


@dataclass(frozen=True, eq=False)
class LohaDelta:
    """scale * (w1_a @ w1_b) * (w2_a @ w2_b).

    Parameters
    ----------
    factors : Factors
        ``hada_w1_a``, ``hada_w2_a`` f[out, r] and ``hada_w1_b``, ``hada_w2_b`` f[r, in * kh * kw]. With the cores ``hada_t1``, ``hada_t2``
        f[r, r, kh, kw] of Tucker's form they are f[r, out] and f[r, in].
    scale : float
    """

    factors: Factors
    scale: float

    def __call__(self, weight: Float, functions: Functions = PLATFORM) -> Float:
        product = self._half(1, weight.dtype, functions) * self._half(2, weight.dtype, functions)
        product *= self.scale
        return product.reshape(weight.shape)

    def _half(self, k: int, dtype: np.dtype[Any], functions: Functions) -> Float:
        a, b = (self.factors.read(f"hada_w{k}_{side}", dtype) for side in "ab")
        if f"hada_t{k}" in self.factors:
            return tucker_product(self.factors.read(f"hada_t{k}", dtype), a, b, functions)
        half: Float = functions.matmul(a, b)
        return half


def loha_delta(factors: Factors) -> LohaDelta:
    """Check a layer of a LoHa, and return what it adds.

    Raises
    ------
    ModelError : a factor is missing, of rank 0, or does not fit
    """
    factors.need({f"hada_w{k}_{side}": f"hada_w{k}_{side}" for k in (1, 2) for side in "ab"})
    rank = factors.rank("hada_w1_b", 0)
    for k in (1, 2):
        a, b = factors.shape_of(f"hada_w{k}_a"), factors.shape_of(f"hada_w{k}_b")
        if f"hada_t{k}" in factors:
            core = factors.shape_of(f"hada_t{k}")
            factors.rank(f"hada_w{k}_b", 0)
            factors.check(fits_tucker(core, a, b) and (a[1], b[1], *core[2:]) == factors.shape)
        else:
            out, *others = factors.shape
            factors.check(len(a) == 2 and bool(others) and b == (factors.rank(f"hada_w{k}_b", 0), math.prod(others)) and a == (out, b[0]))
    return LohaDelta(factors, factors.scale_of(rank))

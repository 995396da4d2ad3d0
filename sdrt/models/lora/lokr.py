"""LoKr: a Kronecker product of a small matrix and a larger one, each whole or a product of two.

Source: Yeh et al. 2023 (arXiv:2309.14859), section 3; the names of the factors are LyCORIS' (``modules/lokr.py``). Departures from LyCORIS
4.1.3: alpha is applied once, and not twice as its merged weights have it; the rank of Tucker's form is that of its core.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import Float
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.models.lora.factors import Factors
from sdrt.models.lora.tucker import fits_tucker, tucker_product

__all__ = ["LokrDelta", "lokr_delta"]


@dataclass(frozen=True, eq=False)
class LokrDelta:
    """scale * kron(w1, w2).

    Parameters
    ----------
    factors : Factors
        ``lokr_w1`` f[a, c], and ``lokr_w2`` f[b, d, kh, kw] for a weight f[a * b, c * d, kh, kw]; either may be the product of its halves
        ``_a`` f[., r] and ``_b`` f[r, .], where that of w2 has the kernel in its last axes. With the core ``lokr_t2`` f[r, r, kh, kw] of
        Tucker's form the halves are f[r, b] and f[r, d].
    scale : float
    """

    factors: Factors
    scale: float

    def __call__(self, weight: Float, functions: Functions = PLATFORM) -> Float:
        w1, w2 = (self._side(k, weight.dtype, functions) for k in (1, 2))
        w2 = w2.reshape(len(w2), weight.shape[1] // w1.shape[1], -1)  # [b, d, kernel]
        product = np.multiply(w1[:, None, :, None, None], w2[None, :, None])  # [a, b, c, d, kernel]
        product *= self.scale
        return product.reshape(weight.shape)

    def _side(self, k: int, dtype: np.dtype[Any], functions: Functions) -> Float:
        if f"lokr_w{k}" in self.factors:
            return self.factors.read(f"lokr_w{k}", dtype)
        a, b = (self.factors.read(f"lokr_w{k}_{half}", dtype) for half in "ab")
        if f"lokr_t{k}" in self.factors:
            return tucker_product(self.factors.read(f"lokr_t{k}", dtype), a, b, functions)
        side: Float = functions.matmul(a, b.reshape(len(b), -1))
        return side


def lokr_delta(factors: Factors) -> LokrDelta:
    """Check a layer of a LoKr, and return what it adds.

    Raises
    ------
    ModelError : a factor is missing, of rank 0, or does not fit
    """
    for k in (1, 2):
        if f"lokr_w{k}" not in factors:
            factors.need({f"lokr_w{k}_{half}": f"lokr_w{k}_{half}" for half in "ab"})
    w1, w2 = _shape(factors, 1), _shape(factors, 2)
    out, *others = factors.shape
    factors.check(len(w1) == 2 and len(w2) >= 2 and bool(others) and 0 not in w1)
    kernel = math.prod(others[1:])
    factors.check(w1[0] * w2[0] == out and w1[1] * math.prod(w2[1:]) == others[0] * kernel and others[0] % w1[1] == 0)
    # the whole kernel on the side of w2, also where that is kept as a matrix
    factors.check(len(w2) == 2 or w2[2:] == tuple(others[1:]) or math.prod(w2[2:]) == kernel == 1)
    ranks = [factors.rank(f"lokr_w{k}_b", 0) for k in (2, 1) if f"lokr_w{k}" not in factors]
    return LokrDelta(factors, factors.scale_of(ranks[0] if ranks else None))


def _shape(factors: Factors, k: int) -> tuple[int, ...]:
    """Return the shape of one side, whole or of its halves; empty where they have no product."""
    if f"lokr_w{k}" in factors:
        return factors.shape_of(f"lokr_w{k}")
    a, b = factors.shape_of(f"lokr_w{k}_a"), factors.shape_of(f"lokr_w{k}_b")
    if f"lokr_t{k}" in factors:
        core = factors.shape_of(f"lokr_t{k}")
        return (a[1], b[1], *core[2:]) if fits_tucker(core, a, b) else ()
    return (a[0], *b[1:]) if len(a) == 2 and len(b) >= 2 and a[1] == b[0] else ()

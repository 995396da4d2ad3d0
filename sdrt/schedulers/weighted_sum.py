"""A step as one weighted sum, x' = sample * x + output * (what the network said) + noise * (fresh noise): few passes over an array."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float

__all__ = ["Weights", "combined", "weighted_sum"]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The three weights."""

    sample: float
    output: float
    noise: float = 0.0


def weighted_sum(weights: Weights, x: Float, output: Float, noise: Float | None = None) -> Float:
    """Return the sum in a fresh array, of x's shape and dtype; noise of weight 0 is not looked at."""
    total: Float = output * weights.output
    np.add(total, x if weights.sample == 1 else x * weights.sample, out=total)
    if noise is not None and weights.noise:
        np.add(total, noise * weights.noise, out=total)
    return total


def combined(terms: Sequence[tuple[float, Float]]) -> Float:
    """Return the sum of weight times array in a fresh array; terms of weight 0 cost nothing."""
    (weight, array), *rest = [term for term in terms if term[0]] or [terms[0]]
    total: Float = array * weight
    if rest:
        product = np.empty_like(total)
        for weight, array in rest:
            np.multiply(array, weight, out=product)
            np.add(total, product, out=total)
    return total

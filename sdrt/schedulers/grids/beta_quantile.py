"""The quantile of a beta distribution: the inverse of the regularised incomplete beta function, without scipy."""

import math
from functools import lru_cache

from sdrt.exact.mathematics import PLATFORM, Functions

__all__ = ["beta_quantile"]

_TINY = 1e-300  # keeps Lentz's quotients from dividing by 0
_PRECISION = 4e-16


def beta_quantile(probability: float, a: float, b: float, functions: Functions = PLATFORM) -> float:
    """Return x in [0, 1] with I_x(a, b) = probability.

    Parameters
    ----------
    probability : float in [0, 1]
    a, b : float, above 0

    Newton's method on the smaller tail; within 1e-12 of scipy.special.betaincinv for a and b in [0.1, 20].

    >>> round(beta_quantile(0.25, 0.6, 0.6), 12)
    0.175680378653
    """
    if not 0 < probability < 1:
        return 0.0 if probability <= 0 else 1.0
    if probability > _incomplete_beta(0.5, a, b, functions):
        return 1.0 - _lower_quantile(1.0 - probability, b, a, functions)
    return _lower_quantile(probability, a, b, functions)


def _lower_quantile(probability: float, a: float, b: float, functions: Functions) -> float:
    """Return the same for a quantile of at most 1/2, by Newton steps kept within a shrinking bracket."""
    low, high = 0.0, 0.5
    # Near 0, I_x is x**a / (a B(a, b)).
    x: float = min(functions.power(probability * a * functions.exp(_log_beta(a, b, functions)), 1 / a), 0.25)
    for _ in range(200):
        error = _incomplete_beta(x, a, b, functions) - probability
        low, high = (low, x) if error > 0 else (x, high)
        log_slope = (a - 1) * functions.log(x) + (b - 1) * functions.log1p(-x) - _log_beta(a, b, functions) if x else math.inf
        slope = functions.exp(log_slope) if x else math.inf
        following = x - error / slope
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - x) <= _PRECISION * x:
            return following
        x = following
    return x


@lru_cache(maxsize=64)
def _log_beta(a: float, b: float, functions: Functions) -> float:
    result: float = functions.log_gamma(a) + functions.log_gamma(b) - functions.log_gamma(a + b)
    return result


def _incomplete_beta(x: float, a: float, b: float, functions: Functions) -> float:
    """Return the regularised incomplete beta function by its continued fraction (Abramowitz and Stegun, 26.5.8)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below this
        return 1.0 - _incomplete_beta(1.0 - x, b, a, functions)
    front: float = functions.exp(a * functions.log(x) + b * functions.log1p(-x) - _log_beta(a, b, functions)) / a
    return front / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """Evaluate 1 + d1 / (1 + d2 / (1 + ...)) by Lentz's method (Press et al., Numerical Recipes, section 5.2)."""
    value, c, d = 1.0, 1.0, 0.0
    for m in range(1, 1000):
        k = m // 2
        term = k * (b - k) * x / ((a + m - 1) * (a + m)) if m % 2 == 0 else -(a + k) * (a + b + k) * x / ((a + m - 1) * (a + m))
        d = 1 / ((1 + term * d) or _TINY)
        c = (1 + term / c) or _TINY
        value *= c * d
        if abs(c * d - 1) <= _PRECISION:
            break
    return value

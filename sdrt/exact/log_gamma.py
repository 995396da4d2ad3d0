"""The logarithm of the gamma function: Stirling's series, after the argument has been raised to where it converges fast."""

import math

from sdrt.exact.functions import log

__all__ = ["log_gamma"]

_LOWEST = 16.0  # from here on, eight terms of the series leave 1e-18
_HALF_LOG_TWO_PI = 0.9189385332046727
# B(2k) / (2k (2k - 1)) with Bernoulli's numbers: Abramowitz and Stegun, 6.1.41
_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)


def log_gamma(x: float) -> float:
    """Return log(gamma(x)) for x > 0, within 2e-14 of it, relative to the larger of it and 1.

    >>> round(log_gamma(5.0), 12), round(log_gamma(0.5), 12)
    (3.178053830348, 0.572364942925)
    """
    raised, product = float(x), 1.0
    while raised < _LOWEST:
        product *= raised
        raised += 1.0
    inverse = 1 / raised
    square = inverse * inverse
    series = 0.0
    for coefficient in reversed(_SERIES):
        series = series * square + coefficient
    terms = ((raised - 0.5) * log(raised), -raised, _HALF_LOG_TWO_PI, series * inverse, -log(product))
    return math.fsum(terms)

"""Numbers of twice float64's precision, as unevaluated sums of two float64 (Dekker 1971, doi:10.1007/BF01397083).

Every function takes and returns floats or float64 arrays. A product is split in halves, without a fused multiply-add, which numpy lacks.
"""

from typing import TypeAlias

from sdrt.arrays import F64

__all__ = ["Pair", "fast_two_sum", "two_product", "two_sum"]

Pair: TypeAlias = tuple[F64, F64]

_SPLITTER = 134217729.0  # 2**27 + 1


def two_sum(a: F64, b: F64) -> Pair:
    """Return the rounded sum and its error (Knuth, The Art of Computer Programming, volume 2, section 4.2.2, theorem B)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def fast_two_sum(a: F64, b: F64) -> Pair:
    """Return the same where |a| >= |b| or a is 0."""
    total = a + b
    return total, b - (total - a)


def two_product(a: F64, b: F64) -> Pair:
    """Return the rounded product and its error, for factors below 2**996."""
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _split(a: F64) -> Pair:
    """Return two parts of 26 bits."""
    spread = a * _SPLITTER
    high = spread - (spread - a)
    return high, a - high

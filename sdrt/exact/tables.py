"""The constants of the elementary functions, computed by decimal arithmetic of 60 digits when they are first needed.

`decimal` computes in integers, so its digits are the same everywhere. Values are pairs of float64: high part, low part.
"""

from decimal import Context, Decimal
from functools import cache

import numpy as np

from sdrt.arrays import F64
from sdrt.exact.pairs import Pair

__all__ = ["HALF_PI", "LN2", "arctangents", "logarithms", "powers_of_two", "sines_and_cosines", "split_parts"]

_DIGITS = Context(prec=60)
LN2 = Decimal("0.693147180559945309417232121458176568075500134360255254120680")
HALF_PI = Decimal("1.57079632679489661923132169163975144209858469968755291048747")


def split_parts(number: Decimal, *bits: int) -> tuple[float, ...]:
    """Return float64 parts that add up to a number; each but the last has so many bits, so that small whole multiples of it are exact."""
    parts = []
    for count in bits:
        exponent = np.frexp(float(number))[1] - count
        part = float(np.ldexp(np.rint(np.ldexp(float(number), -exponent)), exponent))
        parts.append(part)
        number = _DIGITS.subtract(number, Decimal(part))
    return (*parts, float(number))


@cache
def powers_of_two(count: int) -> Pair:
    """Return 2**(j / count) for j from 0 to count - 1."""
    return _pairs([_DIGITS.exp(_DIGITS.divide(_DIGITS.multiply(LN2, Decimal(j)), Decimal(count))) for j in range(count)])


@cache
def logarithms(first: int, last: int, unit: int) -> Pair:
    """Return log(j / unit) for j from first to last."""
    return _pairs([_DIGITS.ln(_DIGITS.divide(Decimal(j), Decimal(unit))) for j in range(first, last + 1)])


@cache
def sines_and_cosines(last: int, unit: int) -> tuple[Pair, Pair]:
    """Return sin(j / unit) and cos(j / unit) for j from -last to last."""
    angles = [_DIGITS.divide(Decimal(j), Decimal(unit)) for j in range(-last, last + 1)]
    return _pairs([_series(x, x, 2) for x in angles]), _pairs([_series(x, Decimal(1), 1) for x in angles])


@cache
def arctangents(last: int, unit: int) -> Pair:
    """Return arctan(j / unit) for j from 0 to last, by Euler's series, which converges for all of them."""
    values = []
    for j in range(last + 1):
        # arctan(x) = sum of 2**(2k) (k!)**2 / (2k + 1)! * x**(2k + 1) / (1 + x**2)**(k + 1), with y = x**2 / (1 + x**2)
        y = _DIGITS.divide(Decimal(j * j), Decimal(unit * unit + j * j))
        term = total = _DIGITS.divide(Decimal(j * unit), Decimal(unit * unit + j * j))
        for k in range(1, 200):
            term = _DIGITS.divide(_DIGITS.multiply(_DIGITS.multiply(term, y), Decimal(2 * k)), Decimal(2 * k + 1))
            total = _DIGITS.add(total, term)
        values.append(total)
    return _pairs(values)


def _series(x: Decimal, first: Decimal, step: int) -> Decimal:
    """Return the series of sine or cosine, whose terms follow from the first by -x**2 / (step * (step + 1)), and so on."""
    term = total = first
    square = _DIGITS.multiply(x, x)
    for k in range(step, step + 60, 2):
        term = -_DIGITS.divide(_DIGITS.multiply(term, square), Decimal(k * (k + 1)))
        total = _DIGITS.add(total, term)
    return total


def _pairs(numbers: list[Decimal]) -> Pair:
    high: F64 = np.array([float(number) for number in numbers])
    low: F64 = np.array([float(_DIGITS.subtract(number, Decimal(float(number)))) for number in numbers])
    return high, low

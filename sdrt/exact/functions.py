"""Elementary functions in float64, the same bits on every machine.

Each reduces its argument to a short range around a tabulated point, adds a short polynomial there, and keeps what it computes as a pair of
float64 until the last rounding: all but about one result in a thousand are the correctly rounded ones, and the others are their neighbours.
Only + - * / sqrt, rint, frexp, ldexp and comparisons are used. Arguments are floats or arrays: a Python float, a numpy scalar or an array
of float32 or float64 gives the same kind. float32 is computed in float64 and rounded once more.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from sdrt.arrays import F64
from sdrt.exact.pairs import Pair, fast_two_sum, two_product, two_sum
from sdrt.exact.tables import HALF_PI, LN2, arctangents, logarithms, powers_of_two, sines_and_cosines, split_parts

__all__ = ["arccos", "arctan2", "cos", "exp", "expm1", "hypot", "log", "log1p", "power", "sin", "tanh"]

X = TypeVar("X", bound=Any)

_EXP_STEPS = 64  # 2**(j / 64) is tabulated
_EXP_PARTS = split_parts(LN2 / _EXP_STEPS, 36, 36)  # exact multiples up to 2**17, beyond exp's range
_LOG_UNIT, _LOG_FIRST, _LOG_LAST = 128, 90, 182  # log(j / 128) is tabulated, between sqrt(1/2) and sqrt(2)
_LN2_PARTS = split_parts(LN2, 40)
_TURN_UNIT, _TURN_LAST = 32, 26  # sine and cosine of j / 32 are tabulated, up to pi / 4
_TURN_PARTS = split_parts(HALF_PI, 33, 33)  # exact multiples up to 2**20
_LARGEST_ANGLE = 1e6
_ARC_UNIT = 64
_SQRT_HALF = 0.7071067811865476
_FAR = 800.0  # beyond it exp is 0 or infinite


def _for_any_float(function: Callable[..., F64]) -> Callable[..., Any]:
    """Give an array function float64 arrays of one dimension, and return what came in: float, scalar or array, float32 or float64."""

    @wraps(function)
    def applied(*arguments: Any) -> Any:
        arrays = np.broadcast_arrays(*(np.asarray(x) for x in arguments))
        with np.errstate(all="ignore"):
            value = function(*(np.ravel(x).astype(np.float64) for x in arrays)).reshape(arrays[0].shape)
        if all(type(x) in (float, int) for x in arguments):
            return float(value)
        kinds = [np.asarray(x).dtype for x in arguments if type(x) not in (float, int)]
        kind = np.float64 if any(k == np.float64 or k.kind != "f" for k in kinds) else kinds[0]
        return value.astype(kind)[()]

    return applied


@_for_any_float
def exp(x: F64) -> F64:
    """Return e**x."""
    k, head, tail = _exp_pair(np.where(np.isnan(x), 0.0, np.clip(x, -_FAR, _FAR)), 0.0)
    return np.where(np.isnan(x), np.nan, np.ldexp(head + tail, k))


@_for_any_float
def expm1(x: F64) -> F64:
    """Return e**x - 1, accurate near 0."""
    bounded = np.where(np.isnan(x), 0.0, np.clip(x, -_FAR, _FAR))
    k, head, tail = _exp_pair(bounded, 0.0)
    high, error = two_sum(np.ldexp(head, k), np.full_like(head, -1.0))
    apart = high + (error + np.ldexp(tail, k))
    near = bounded + _exp_rest(bounded)
    value = np.where(np.abs(bounded) < 0.005, near, np.where(k > 100, np.ldexp(head + tail, k), apart))
    return np.where(np.isnan(x) | (x == 0), x, value)


@_for_any_float
def log(x: F64) -> F64:
    """Return the natural logarithm: -infinity of 0, and no number of anything below."""
    head, tail = _log_pair(_positive(x))
    return _log_ends(x, head + tail)


@_for_any_float
def log1p(x: F64) -> F64:
    """Return log(1 + x), accurate near 0."""
    near = np.abs(x) < 0.005
    small = np.where(near, x, 0.0)
    high, low = _log_rest(small, np.zeros_like(small))
    total, rest = two_sum(_positive(1 + x), np.zeros_like(x))
    rest = x - (total - 1)
    head, tail = _log_pair(total)
    apart = head + (tail + rest / total)
    return np.where(x == 0, x, np.where(near, high + low, _log_ends(1 + x, apart)))


@_for_any_float
def power(x: F64, y: F64) -> F64:
    """Return x**y; x below 0 needs a whole y."""
    return _power(x, y)


@_for_any_float
def sin(x: F64) -> F64:
    """Return the sine of an angle below a million, in radians."""
    return _turn(x, 0)


@_for_any_float
def cos(x: F64) -> F64:
    """Return the cosine of an angle below a million, in radians."""
    return _turn(x, 1)


@_for_any_float
def tanh(x: F64) -> F64:
    """Return the hyperbolic tangent; within two units in the last place."""
    grown = expm1(2 * np.minimum(np.abs(x), 20.0))
    value = grown / (grown + 2)
    return np.where(np.isnan(x), x, np.where(x < 0, -value, value))


@_for_any_float
def arctan2(y: F64, x: F64) -> F64:
    """Return the angle of the point (x, y), in (-pi, pi]; within one unit in the last place."""
    return _arctan2(y, x)


@_for_any_float
def arccos(x: F64) -> F64:
    """Return the angle in [0, pi] whose cosine is x; within two units in the last place."""
    return _arctan2(np.sqrt((1 - x) * (1 + x)), x)


@_for_any_float
def hypot(x: F64, y: F64) -> F64:
    """Return sqrt(x**2 + y**2), of numbers whose squares neither vanish nor overflow."""
    x_high, x_low = two_product(x, x)
    y_high, y_low = two_product(y, y)
    high, low = two_sum(x_high, y_high)
    low = low + (x_low + y_low)
    root = np.sqrt(high + low)
    square_high, square_low = two_product(root, root)
    return np.where(root > 0, root + ((high - square_high) + (low - square_low)) / np.where(root > 0, 2 * root, 1.0), root)


def _exp_pair(x: F64, low: F64 | float) -> tuple[Any, F64, F64]:
    """Return k, head and tail with e**(x + low) = 2**k * (head + tail)."""
    n = np.rint(x * (_EXP_STEPS / float(LN2)))
    first, second, third = _EXP_PARTS
    r, rest = two_sum(x - n * first, -(n * second))
    r, rest = fast_two_sum(r, rest - n * third + low)
    whole = n.astype(np.int64)
    j = whole % _EXP_STEPS
    table_high, table_low = (column[j] for column in powers_of_two(_EXP_STEPS))
    product, error = two_product(table_high, r)
    head, lost = fast_two_sum(table_high, product)
    tail = lost + (error + (table_low + table_high * (rest + _exp_rest(r)) + table_low * r))
    head, tail = fast_two_sum(head, tail)
    return ((whole - j) // _EXP_STEPS).astype(np.int32), head, tail


def _exp_rest(r: F64) -> F64:
    """Return e**r - 1 - r for |r| < 0.006."""
    return r * r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720)))))


def _positive(x: F64) -> F64:
    """Return x with 1 where it has no logarithm."""
    return np.where((x > 0) & (x < np.inf), x, 1.0)


def _log_ends(x: F64, value: F64) -> F64:
    """Return the logarithms with their values at and beyond the ends of the range."""
    return np.where(x == 0, -np.inf, np.where(x > 0, np.where(x == np.inf, np.inf, value), np.nan))


def _log_pair(x: F64) -> Pair:
    """Return the logarithm of positive numbers as a pair."""
    fraction, exponent = np.frexp(x)
    below = fraction < _SQRT_HALF
    fraction = np.where(below, 2 * fraction, fraction)
    exponent = (exponent - below).astype(np.float64)
    j = np.rint(fraction * _LOG_UNIT)
    nearest = j / _LOG_UNIT
    distance = fraction - nearest
    r = distance / nearest
    product, error = two_product(r, nearest)
    rest = ((distance - product) - error) / nearest
    table_high, table_low = (column[j.astype(np.int64) - _LOG_FIRST] for column in logarithms(_LOG_FIRST, _LOG_LAST, _LOG_UNIT))
    near_high, near_low = _log_rest(r, rest)
    high, low = two_sum(exponent * _LN2_PARTS[0], table_high)
    head, lost = two_sum(high, near_high)
    return fast_two_sum(head, lost + (low + (near_low + (table_low + exponent * _LN2_PARTS[1]))))


def _log_rest(r: F64, rest: F64) -> Pair:
    """Return log(1 + r + rest) as a pair, for |r| < 0.006."""
    square, error = two_product(r, r)
    series = r * square * (1 / 3 - r * (1 / 4 - r * (1 / 5 - r * (1 / 6 - r * (1 / 7 - r * (1 / 8))))))
    high, low = fast_two_sum(r, -0.5 * square)
    return high, low + (series - 0.5 * error + rest * (1 - r))


def _power(x: F64, y: F64) -> F64:
    magnitude = np.abs(x)
    log_high, log_low = _log_pair(_positive(magnitude))
    product, error = two_product(log_high, y)
    near = np.abs(product) < _FAR
    k, head, tail = _exp_pair(np.where(near, product, np.sign(product) * _FAR), np.where(near, error + log_low * y, 0.0))
    value = np.ldexp(head + tail, k)
    for exponent, exact in ((0.5, np.sqrt(magnitude)), (1.0, magnitude), (2.0, magnitude * magnitude)):
        value = np.where(y == exponent, exact, value)
    value = np.where((magnitude == 0) | (magnitude == np.inf), np.where((magnitude == 0) == (y > 0), 0.0, np.inf), value)
    whole = np.rint(y) == y
    odd = whole & (np.rint(y / 2) * 2 != y)
    value = np.where(x < 0, np.where(whole, np.where(odd, -value, value), np.nan), value)
    return np.where(y == 0, 1.0, np.where(np.isnan(x) | np.isnan(y), np.nan, value))


def _turn(x: F64, quarter: int) -> F64:
    """Return the sine of an angle that is so many quarters of a turn further on."""
    known = np.abs(x) < _LARGEST_ANGLE
    if not np.all(known | ~np.isfinite(x)):
        raise ValueError(f"angles must be below {_LARGEST_ANGLE:g}, got {np.abs(x[np.isfinite(x)]).max():g}: take the remainder of a turn")
    x = np.where(known, x, 0.0)
    n = np.rint(x * (1 / float(HALF_PI)))
    first, second, third = _TURN_PARTS
    r, rest = two_sum(x - n * first, -(n * second))
    r, rest = fast_two_sum(r, rest - n * third)
    sine, cosine = _sine_and_cosine(r, rest)
    quadrant = (n.astype(np.int64) + quarter) % 4
    value = np.where(quadrant % 2 == 0, sine, cosine)
    return np.where(known, np.where(quadrant < 2, value, -value), np.nan)


def _sine_and_cosine(r: F64, rest: F64) -> Pair:
    """Return sine and cosine of r + rest, for |r| <= pi / 4."""
    j = np.rint(r * _TURN_UNIT)
    d, rest = fast_two_sum(r - j / _TURN_UNIT, rest)
    place = j.astype(np.int64) + _TURN_LAST
    sines, cosines = sines_and_cosines(_TURN_LAST, _TURN_UNIT)
    (s, s_low), (c, c_low) = ((high[place], low[place]) for high, low in (sines, cosines))
    square = d * d
    sine_rest = rest + d * square * (-1 / 6 + square * (1 / 120 + square * (-1 / 5040)))
    cosine_rest = square * (-1 / 2 + square * (1 / 24 + square * (-1 / 720 + square * (1 / 40320)))) - d * rest
    product, error = two_product(c, d)
    head, lost = two_sum(s, product)
    sine = head + (lost + (error + (s_low + c_low * d + c * sine_rest + s * cosine_rest)))
    product, error = two_product(s, -d)
    head, lost = two_sum(c, product)
    cosine = head + (lost + (error + (c_low - s_low * d - s * sine_rest + c * cosine_rest)))
    return sine, cosine


def _arctan2(y: F64, x: F64) -> F64:
    steep = np.abs(y) > np.abs(x)
    short, long = (np.where(steep, np.abs(a), np.abs(b)) for a, b in ((x, y), (y, x)))
    t = np.where(long > 0, short / np.where(long > 0, long, 1.0), 0.0)
    product, error = two_product(t, long)
    rest = np.where(long > 0, ((short - product) - error) / np.where(long > 0, long, 1.0), 0.0)
    j = np.rint(t * _ARC_UNIT)
    nearest = j / _ARC_UNIT
    d = ((t - nearest) + rest) / (1 + t * nearest)
    square = d * d
    series = d * square * (-1 / 3 + square * (1 / 5 + square * (-1 / 7 + square * (1 / 9))))
    high, low = (column[j.astype(np.int64)] for column in arctangents(_ARC_UNIT, _ARC_UNIT))
    head, lost = two_sum(high, d)
    tail = lost + (low + series)
    half, half_low = split_parts(HALF_PI, 53)
    turned_head, turned_lost = two_sum(np.full_like(head, half), -head)
    head, tail = np.where(steep, turned_head, head), np.where(steep, turned_lost + (half_low - tail), tail)
    turned_head, turned_lost = two_sum(np.full_like(head, 2 * half), -head)
    head, tail = np.where(x < 0, turned_head, head), np.where(x < 0, turned_lost + (2 * half_low - tail), tail)
    angle: F64 = np.where(y < 0, -(head + tail), head + tail)
    return angle

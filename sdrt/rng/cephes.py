"""Evaluate single-precision log, sine and cosine exactly as torch's AVX2 build does, in plain numpy.

The polynomials are those of Cephes (Moshier 1989, ``logf.c``, ``sinf.c``), arranged as in the vector library avx_mathfun that torch
compiles. Its compiler contracts ``a * b + c`` into fused multiply-adds; this module emulates one in float64, where the product of two
float32 numbers is exact, and rounds once more to float32. The functions are not general: each accepts the range that the Box-Muller
transform needs. A uniform has 24 bits, so each function has 2**24 possible arguments: on all of them it equals the same polynomial compiled
with ``fmaf``.

Few passes over arrays that stay in cache make it fast: work on blocks of a few thousand values and pass in the scratch buffers.
"""

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F32, F64

__all__ = ["Scratch", "log_unit", "sincos_turn"]


def _f32(*values: float) -> tuple[float, ...]:
    """Round to float32, and return the result as Python floats."""
    return tuple(float(np.float32(v)) for v in values)


# Cephes logf.c: the polynomial of log(1 + x) on [sqrt(1/2) - 1, sqrt(2) - 1], and log(2) in two parts.
_LOG_FIRST, *_LOG_REST = _f32(
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LOG2_LOW, _LOG2_HIGH = _f32(-2.12194440e-4, 0.693359375)
_SQRT_HALF_BITS = 0x3F3504F3  # float32 nearest to sqrt(1/2)
_ONE_BITS = 0x3F800000

# Cephes sinf.c: pi/4 in three parts, sine and cosine on [-pi/4, pi/4].
_QUARTER_HIGH, _QUARTER_MIDDLE, _QUARTER_LOW = _f32(-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)
_SIN_FIRST, *_SIN_REST = _f32(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS_FIRST, *_COS_REST = _f32(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_FOUR_OVER_PI, _TWO_PI = (np.float32(v) for v in _f32(1.27323954473516, 2.0 * np.pi))


class Scratch:
    """Buffers for blocks of at most ``size`` values; each belongs to one call, never to two threads."""

    def __init__(self, size: int) -> None:
        self.wide = np.empty((3, size))
        self.narrow = np.empty((3, size), np.float32)
        self.whole = np.empty((2, size), np.int32)


def _round(x: F64, narrow: F32) -> None:
    """Round float64 values to float32 in place."""
    narrow[...] = x
    x[...] = narrow


def _fma(y: F64, x: F64, addend: F64 | float, narrow: F32) -> None:
    """Set y to y * x + addend, rounded once to float32; all three hold float32 values."""
    np.multiply(y, x, out=y)
    np.add(y, addend, out=y)
    _round(y, narrow)


def _horner(y: F64, x: F64, first: float, rest: list[float], narrow: F32) -> None:
    """Set y to the polynomial of x with these coefficients, fused at every step."""
    np.multiply(x, first, out=y)
    np.add(y, rest[0], out=y)
    _round(y, narrow)
    for c in rest[1:]:
        _fma(y, x, c, narrow)


def log_unit(u: F32, scratch: Scratch) -> None:
    """Replace each u in (0, 1], f32[n] contiguous, by its logarithm."""
    n = len(u)
    x, y, z = scratch.wide[:, :n]
    exponent, fraction, narrow = scratch.narrow[:, :n]
    power, _ = scratch.whole[:, :n]
    bits = u.view(np.int32)
    # u = 2**power * (1 + x) with 1 + x in [sqrt(1/2), sqrt(2))
    np.subtract(bits, _SQRT_HALF_BITS, out=power)
    np.right_shift(power, 23, out=power)
    exponent[...] = power
    np.left_shift(power, 23, out=power)
    np.subtract(bits, power, out=bits)
    np.subtract(u, np.float32(1), out=fraction)
    x[...] = fraction
    np.multiply(fraction, fraction, out=u)
    z[...] = u
    _horner(y, x, _LOG_FIRST, _LOG_REST, narrow)
    np.multiply(y, x, out=y)
    _round(y, narrow)
    np.multiply(exponent, np.float32(_LOG2_LOW), out=narrow)
    x[...] = narrow
    _fma(y, z, x, narrow)
    np.multiply(u, np.float32(0.5), out=u)
    np.subtract(narrow, u, out=narrow)
    np.add(fraction, narrow, out=u)
    np.multiply(exponent, np.float32(_LOG2_HIGH), out=exponent)
    np.add(u, exponent, out=u)


def sincos_turn(turn: F32, cosine: F32, scratch: Scratch) -> None:
    """Write the cosine of 2 pi times each turn in [0, 1), f32[n] contiguous, to ``cosine``, and replace the turn by the sine."""
    n = len(turn)
    x, y, z = scratch.wide[:, :n]
    octant_value, reduced, narrow = scratch.narrow[:, :n]
    octant, flip = scratch.whole[:, :n]
    # The nearest even octant of the angle, and the remainder: pi/4 times the octant, subtracted in three parts.
    np.multiply(turn, _TWO_PI, out=turn)
    np.multiply(turn, _FOUR_OVER_PI, out=narrow)
    np.copyto(octant, narrow, casting="unsafe")
    np.add(octant, 1, out=octant)
    np.bitwise_and(octant, -2, out=octant)
    octant_value[...] = octant
    for part in (_QUARTER_HIGH, _QUARTER_MIDDLE):  # short enough for these products to be exact
        np.multiply(octant_value, np.float32(part), out=narrow)
        np.add(turn, narrow, out=turn)
    y[...] = octant_value
    x[...] = turn
    np.multiply(y, _QUARTER_LOW, out=y)
    np.add(x, y, out=x)
    reduced[...] = x
    x[...] = reduced
    np.multiply(reduced, reduced, out=turn)
    z[...] = turn
    _horner(y, z, _SIN_FIRST, _SIN_REST, narrow)
    np.multiply(narrow, turn, out=narrow)
    y[...] = narrow
    np.multiply(y, x, out=y)
    np.add(y, x, out=y)
    reduced[...] = y  # the sine of the reduced angle
    _horner(y, z, _COS_FIRST, _COS_REST, narrow)
    np.multiply(narrow, turn, out=narrow)
    y[...] = narrow
    np.multiply(y, z, out=y)
    np.multiply(z, 0.5, out=z)
    np.subtract(y, z, out=y)
    narrow[...] = y
    np.add(narrow, np.float32(1), out=narrow)  # the cosine of the reduced angle
    _to_quadrant(octant, flip, reduced, narrow, turn, cosine)


def _to_quadrant(octant: npt.NDArray[np.int32], flip: npt.NDArray[np.int32], sin0: F32, cos0: F32, sine: F32, cosine: F32) -> None:
    """Turn sine and cosine of the reduced angle into those of the angle: swap them in odd quadrants, then set the signs."""
    s, c, out_s, out_c = (a.view(np.int32) for a in (sin0, cos0, sine, cosine))
    np.right_shift(octant, 1, out=flip)
    np.bitwise_and(flip, 1, out=flip)
    np.negative(flip, out=flip)  # all bits of an odd quadrant
    np.bitwise_xor(s, c, out=out_c)
    np.bitwise_and(flip, out_c, out=flip)
    np.bitwise_xor(s, flip, out=out_s)
    np.bitwise_xor(c, flip, out=out_c)
    np.bitwise_and(octant, 4, out=flip)
    np.left_shift(flip, 29, out=flip)  # the sign bit
    np.bitwise_xor(out_s, flip, out=out_s)
    np.subtract(octant, 2, out=octant)
    np.invert(octant, out=octant)
    np.bitwise_and(octant, 4, out=octant)
    np.left_shift(octant, 29, out=octant)
    np.bitwise_xor(out_c, octant, out=out_c)

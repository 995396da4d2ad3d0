"""Elementwise functions, in place and in pieces that stay in the cache."""

import math
from collections.abc import Callable

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.exponential import FASTEST, Exponential
from sdrt.backends.numpy.scratch import Scratch

__all__ = ["geglu", "gelu", "quick_gelu", "silu"]

_PIECE = 2**15  # numbers that are worked on at a time


# Phi(-a) exp(a^2/2) = t * polynomial(t) with t = 1 / (1 + p a / sqrt(2)), Phi the normal distribution, a >= 0: interpolated at Chebyshev
# nodes in t, a/sqrt(2) up to 4 (error 3e-9) for float32 and up to 6 (error 1e-15) for float64, with 50 digits; constant term first.
_TAIL: dict[str, tuple[float, tuple[float, ...]]] = {
    "float32": (0.4, (0.112280967, 0.12039433, 0.0596389534, 0.230368042, -0.225971125, 0.376718849, -0.213998256, 0.040568241)),
    "float64": (
        0.3,
        (
            0.08462894345933862,
            0.08461496088710559,
            0.08098529459261655,
            0.07197322470484499,
            0.06849032280113707,
            0.02698510079708772,
            0.09188492298620748,
            -0.08035423016647916,
            0.1256636470414945,
            -0.030095038656478213,
            -0.15058432147505116,
            0.32521073016390073,
            -0.37093456606851255,
            0.25551930297572406,
            -0.10629534984641842,
            0.024832787313855336,
            -0.0025257315103732977,
        ),
    ),
}


def silu(x: Float, scratch: Scratch, out: Float, exponential: Exponential = FASTEST) -> None:
    """``out`` = x / (1 + e**-x); ``out`` may be ``x``."""
    _gate(x, scratch, out, 1.0, exponential)


def quick_gelu(x: Float, scratch: Scratch, exponential: Exponential = FASTEST) -> None:
    """X becomes x / (1 + e**(-1.702 x))."""
    _in_pieces(lambda piece: _gate(piece, scratch, piece, 1.702, exponential), x)


def gelu(x: Float, scratch: Scratch, exponential: Exponential = FASTEST) -> None:
    """X becomes x Phi(x), Phi the normal distribution."""

    def piece_gelu(piece: Float) -> None:
        tail = _gelu_tail(piece, scratch, exponential)
        np.maximum(piece, 0.0, out=piece)
        piece -= tail

    _in_pieces(piece_gelu, x)


def geglu(value: Float, gate: Float, scratch: Scratch, out: Float, exponential: Exponential = FASTEST) -> None:
    """``out`` = value * gelu(gate), all float[rows, columns]; overwrites ``gate``."""
    step = max(1, _PIECE // gate.shape[1])
    for start in range(0, gate.shape[0], step):
        at = slice(start, start + step)
        tail = _gelu_tail(gate[at], scratch, exponential)
        np.maximum(gate[at], 0.0, out=gate[at])
        gate[at] -= tail
        np.multiply(value[at], gate[at], out=out[at])


def _in_pieces(function: Callable[[Float], None], x: Float) -> None:
    flat = x.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        function(flat[start : start + _PIECE])


def _gate(x: Float, scratch: Scratch, out: Float, slope: float, exponential: Exponential) -> None:
    below = scratch.take("activation", x.shape, x.dtype)
    np.multiply(x, -slope * exponential.scale, out=below)
    exponential(below, below, scratch)
    below += 1.0
    np.divide(x, below, out=out)


def _gelu_tail(x: Float, scratch: Scratch, exponential: Exponential) -> Float:
    """|x| Phi(-|x|): what gelu lacks of the rectifier."""
    p, coefficients = _TAIL[x.dtype.name]
    size = scratch.take("activation size", x.shape, x.dtype)
    t = scratch.take("activation t", x.shape, x.dtype)
    tail = scratch.take("activation", x.shape, x.dtype)
    np.abs(x, out=size)
    np.multiply(size, p / math.sqrt(2.0), out=t)
    t += 1.0
    np.divide(1.0, t, out=t)
    np.multiply(t, coefficients[-1], out=tail)
    for coefficient in coefficients[-2:0:-1]:
        tail += coefficient
        tail *= t
    tail += coefficients[0]
    tail *= t
    tail *= size
    np.multiply(size, size, out=t)
    t *= -0.5 * exponential.scale
    exponential(t, t, scratch)
    tail *= t
    return tail

"""Activations. ``alpha`` and ``beta`` are numbers, or one number a channel (axis 1) where a name ends in parametric or is ``prelu``."""

import math

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import axis_of, text
from sdrt.backends.coreml.ops.registry import operation
from sdrt.backends.coreml.ops.spread import spread
from sdrt.backends.numpy.activations import gelu as exact_gelu
from sdrt.backends.numpy.activations import quick_gelu as sigmoid_gelu
from sdrt.backends.numpy.activations import silu as exact_silu
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["gelu", "silu", "softmax"]

_COST = 12.0  # additions that an exponential and a division take


@operation("relu", team=True)
def relu(team: ThreadTeam, x: Array) -> Array:
    """max(x, 0)."""
    return spread(team, lambda piece, out: np.maximum(piece, 0, out=out), x)


@operation("relu6")
def relu6(x: Array) -> Array:
    """X cut to [0, 6]."""
    return np.asarray(np.minimum(np.maximum(x, 0), 6))


@operation("clamped_relu")
def clamped_relu(x: Array, alpha: Array, beta: Array) -> Array:
    """min(x, beta) where x >= 0, else min(alpha x, beta)."""
    return np.asarray(np.minimum(np.where(x >= 0, x, alpha * x), beta))


@operation("leaky_relu")
def leaky_relu(x: Array, alpha: Array) -> Array:
    """X where x >= 0, else alpha x."""
    return np.asarray(np.where(x >= 0, x, alpha * x))


@operation("prelu")
def prelu(x: Array, alpha: Array) -> Array:
    """X where x >= 0, else alpha x, alpha one a channel."""
    return np.asarray(np.where(x >= 0, x, _a_channel(alpha, x) * x))


@operation("thresholded_relu")
def thresholded_relu(x: Array, alpha: Array) -> Array:
    """X where x >= alpha, else 0."""
    return np.asarray(np.where(x >= alpha, x, x.dtype.type(0)))


@operation("elu")
def elu(x: Array, alpha: Array) -> Array:
    """X where x >= 0, else alpha (e**x - 1)."""
    return np.asarray(np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0))))


@operation("linear_activation")
def linear_activation(x: Array, alpha: Array, beta: Array | float = 0.0) -> Array:
    """Alpha x + beta."""
    return np.asarray(alpha * x + np.asarray(beta, x.dtype))


@operation("scaled_tanh")
def scaled_tanh(x: Array, alpha: Array, beta: Array) -> Array:
    """Alpha tanh(beta x)."""
    return np.asarray(alpha * np.tanh(beta * x))


@operation("sigmoid", team=True)
def sigmoid(team: ThreadTeam, x: Array) -> Array:
    """1 / (1 + e**-x)."""

    def piece_sigmoid(piece: Array, out: Array) -> None:
        np.negative(piece, out=out)
        np.exp(out, out=out)
        out += 1
        np.reciprocal(out, out=out)

    return spread(team, piece_sigmoid, x, cost=_COST)


@operation("sigmoid_hard")
def sigmoid_hard(x: Array, alpha: Array | float = 0.2, beta: Array | float = 0.5) -> Array:
    """Alpha x + beta cut to [0, 1]."""
    scaled = np.asarray(alpha, x.dtype) * x + np.asarray(beta, x.dtype)
    return np.asarray(np.minimum(np.maximum(scaled, 0), 1))


@operation("softplus")
def softplus(x: Array) -> Array:
    """ln(1 + e**x)."""
    return np.asarray(np.logaddexp(x, x.dtype.type(0)))


@operation("softplus_parametric")
def softplus_parametric(x: Array, alpha: Array, beta: Array) -> Array:
    """Alpha ln(1 + e**(beta x)), both one a channel."""
    return np.asarray(_a_channel(alpha, x) * np.logaddexp(_a_channel(beta, x) * x, x.dtype.type(0)))


@operation("softsign")
def softsign(x: Array) -> Array:
    """X / (1 + abs(x))."""
    return np.asarray(x / (1 + np.abs(x)))


@operation("silu", team=True)
def silu(team: ThreadTeam, x: Array) -> Array:
    """X / (1 + e**-x)."""
    return spread(team, lambda piece, out: exact_silu(piece, team.scratch, out), x, cost=_COST)


@operation("gelu", team=True)
def gelu(team: ThreadTeam, x: Array, mode: Array | str = "EXACT") -> Array:
    """X Phi(x), Phi the normal distribution; the other modes approximate it by a hyperbolic tangent or a sigmoid."""
    match text(mode):
        case "EXACT":

            def piece_gelu(piece: Array, out: Array) -> None:
                whole = np.ascontiguousarray(piece).reshape(-1).copy()
                exact_gelu(whole, team.scratch)
                out[...] = whole.reshape(piece.shape)

        case "SIGMOID_APPROXIMATION":

            def piece_gelu(piece: Array, out: Array) -> None:
                whole = np.ascontiguousarray(piece).reshape(-1).copy()
                sigmoid_gelu(whole, team.scratch)
                out[...] = whole.reshape(piece.shape)

        case "TANH_APPROXIMATION":

            def piece_gelu(piece: Array, out: Array) -> None:
                inner = math.sqrt(2 / math.pi) * (piece + 0.044715 * piece**3)
                np.multiply(0.5 * piece, 1 + np.tanh(inner), out=out)

        case other:
            raise ValueError(f"mode must be EXACT, TANH_APPROXIMATION or SIGMOID_APPROXIMATION, got {other!r}")
    return spread(team, piece_gelu, x, cost=3 * _COST)


@operation("softmax", team=True)
def softmax(team: ThreadTeam, x: Array, axis: Array | int = -1) -> Array:
    """e**x over its sum along an axis."""
    along = axis_of(axis, x.ndim)
    last = np.moveaxis(x, along, -1)
    out = np.empty_like(x)
    rows = np.moveaxis(out, along, -1)

    def run(at: slice) -> None:
        part = rows[at]
        np.subtract(last[at], last[at].max(axis=-1, keepdims=True), out=part)
        np.exp(part, out=part)
        part /= part.sum(axis=-1, keepdims=True)

    if x.ndim == 1:
        run(slice(None))
    else:
        lead = max(1, -(-x.shape[0] // max(1, team.threads)))
        team.map_blocks(run, [slice(start, start + lead) for start in range(0, last.shape[0], lead)], 8.0 * _COST * x.size)
    return out


def _a_channel(value: Array, x: Array) -> Array:
    return value.reshape(1, -1, *([1] * (x.ndim - 2))) if value.ndim == 1 and x.ndim > 1 else value

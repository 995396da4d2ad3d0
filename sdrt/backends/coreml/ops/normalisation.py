"""Normalisation."""

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import axes_of, integer, number
from sdrt.backends.coreml.ops.registry import operation
from sdrt.backends.coreml.ops.spread import spread
from sdrt.backends.numpy.norm import LayerNorm
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["batch_norm", "layer_norm"]


@operation("batch_norm", team=True)
def batch_norm(
    team: ThreadTeam,
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: Array | float = 1e-5,
) -> Array:
    """Gamma (x - mean) / sqrt(variance + epsilon) + beta, all one a channel (axis 1)."""
    scale = 1.0 / np.sqrt(variance.astype(np.float64) + number(epsilon))
    if gamma is not None:
        scale *= gamma
    shift = -mean * scale if beta is None else beta - mean * scale
    wide = (1, -1, *([1] * (x.ndim - 2)))

    def affine(piece: Array, factor: Array, term: Array, out: Array) -> None:
        np.multiply(piece, factor, out=out)
        out += term

    return spread(team, affine, x, scale.astype(x.dtype).reshape(wide), shift.astype(x.dtype).reshape(wide), cost=2.0)


@operation("instance_norm")
def instance_norm(x: Array, gamma: Array | None = None, beta: Array | None = None, epsilon: Array | float = 1e-5) -> Array:
    """Each channel of each picture normalised over its pixels."""
    normed = _normed(x, tuple(range(2, x.ndim)), number(epsilon))
    wide = (1, -1, *([1] * (x.ndim - 2)))
    normed = normed if gamma is None else normed * gamma.reshape(wide)
    return np.asarray(normed if beta is None else normed + beta.reshape(wide)).astype(x.dtype)


@operation("layer_norm", team=True)
def layer_norm(
    team: ThreadTeam,
    x: Array,
    axes: Array | None = None,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: Array | float = 1e-5,
) -> Array:
    """Normalised over some axes, then gamma and beta of those axes' shape."""
    along = axes_of(axes, x.ndim)
    shape = tuple(x.shape[axis] for axis in sorted(along))
    if len(along) == 1 and x.ndim > 1:
        last = np.ascontiguousarray(np.moveaxis(x, along[0], -1))
        weight = np.ones(shape, x.dtype) if gamma is None else gamma
        bias = np.zeros(shape, x.dtype) if beta is None else beta
        return np.moveaxis(LayerNorm(weight, bias, number(epsilon))(team, last), -1, along[0])
    wide = tuple(size if axis in along else 1 for axis, size in enumerate(x.shape))
    normed = _normed(x, along, number(epsilon))
    normed = normed if gamma is None else normed * gamma.reshape(wide)
    return np.asarray(normed if beta is None else normed + beta.reshape(wide)).astype(x.dtype)


@operation("l2_norm")
def l2_norm(x: Array, epsilon: Array | float = 1e-6) -> Array:
    """X / sqrt(sum of squares + epsilon), the sum over the last three axes."""
    total = np.sum(np.square(x, dtype=np.float64), axis=(-3, -2, -1), keepdims=True)
    return np.asarray(x / np.sqrt(total + number(epsilon))).astype(x.dtype)


@operation("local_response_norm")
def local_response_norm(x: Array, size: Array, alpha: Array | float = 1e-4, beta: Array | float = 0.75, k: Array | float = 1.0) -> Array:
    """X / (k + alpha / size * sum of squares of ``size`` neighbouring channels)**beta, as torch places the window."""
    width = integer(size)
    if width < 1:
        raise ValueError(f"size must be at least 1, got {width}")
    around = [(0, 0)] * x.ndim
    around[1] = (width // 2, (width - 1) // 2)
    squares = np.pad(np.square(x, dtype=np.float64), around)
    total = sum(squares[:, start : start + x.shape[1]] for start in range(width))
    return np.asarray(x / (number(k) + number(alpha) / width * total) ** number(beta)).astype(x.dtype)


def _normed(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    apart = x - np.mean(x, axis=axes, keepdims=True, dtype=np.float64)
    return np.asarray(apart / np.sqrt(np.mean(np.square(apart), axis=axes, keepdims=True) + epsilon))

# ruff: noqa: ARG005 - every parameter of MIL stands in the signature, also where the result does not depend on it
"""Matrix products."""

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import flag, text
from sdrt.backends.coreml.ops.registry import Shape, operation
from sdrt.backends.numpy.attention import attend
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import split

__all__ = ["einsum", "linear", "matmul", "scaled_dot_product_attention"]


@operation("linear", sizes=lambda x, weight, bias=None: (*x.shape[:-1], weight.shape[0]), team=True)
def linear(team: ThreadTeam, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """X @ weight^T + bias: float[..., in], float[out, in], float[out] -> float[..., out]."""
    if x.dtype.kind != "f":
        whole = x @ weight.T
        return np.asarray(whole if bias is None else whole + bias).astype(x.dtype)
    return Linear(weight.T, bias)(team, x)


def _matmul_shape(x: Array, y: Array, transpose_x: Array | bool = False, transpose_y: Array | bool = False) -> Shape:
    left, right = _oriented(x, transpose_x), _oriented(y, transpose_y)
    rows = left.shape[-2:-1] if left.ndim > 1 else ()
    columns = right.shape[-1:] if right.ndim > 1 else ()
    return (*np.broadcast_shapes(left.shape[:-2], right.shape[:-2]), *rows, *columns)


@operation("matmul", sizes=_matmul_shape, team=True)
def matmul(team: ThreadTeam, x: Array, y: Array, transpose_x: Array | bool = False, transpose_y: Array | bool = False) -> Array:
    """Products of the last two axes, each transposed first if its flag is set; the axes before them broadcast."""
    left, right = _oriented(x, transpose_x), _oriented(y, transpose_y)
    if left.ndim < 2 or right.ndim < 2 or left.dtype.kind != "f":
        return np.asarray(np.matmul(left, right)).astype(x.dtype, copy=False)
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    out = np.empty((*lead, left.shape[-2], right.shape[-1]), x.dtype)
    flat = out.reshape(-1, *out.shape[-2:])
    lefts = np.broadcast_to(left, (*lead, *left.shape[-2:]))
    rights = np.broadcast_to(right, (*lead, *right.shape[-2:]))
    places = list(np.ndindex(*lead))
    rows = split(out.shape[-2], 1 if len(places) >= team.threads else team.threads)

    def block(where: tuple[int, slice]) -> None:
        index, run = where
        np.matmul(lefts[places[index]][run], rights[places[index]], out=flat[index, run])

    team.map_blocks(block, [(index, run) for index in range(len(places)) for run in rows], 2.0 * out.size * left.shape[-1])
    return out


@operation("einsum")
def einsum(values: tuple[Array, ...], equation: Array) -> Array:
    """Compute MIL's one pattern, in any letters: ``nchw,nwhu->nchu``, a product of axes 1 and 3 for each n and h, which broadcast.

    Three axes stand for n = 1. The equation may name the operands' axes in any way that spells this product.
    """
    left, right = values
    terms = text(equation).replace(" ", "").replace("->", ",").split(",")
    if len(terms) != 3 or any(len(term) != array.ndim or len(set(term)) != len(term) for term, array in zip(terms, values, strict=False)):
        raise ValueError(f"equation must name each axis once, got {text(equation)!r} for {left.ndim} and {right.ndim} axes")
    lead, (c, h, w), (summed, height, u) = terms[0][:-3], list(terms[0][-3:]), list(terms[1][-3:])
    if (summed, height) != (w, h) or terms[1][:-3] != lead or terms[2] != f"{lead}{c}{h}{u}":
        raise ValueError(f"equation must be of the form nchw,nwhu->nchu, got {text(equation)!r}")
    product = np.matmul(np.swapaxes(left, -3, -2), np.swapaxes(right, -3, -2))
    return np.asarray(np.swapaxes(product, -3, -2))


@operation("scaled_dot_product_attention", team=True)
def scaled_dot_product_attention(team: ThreadTeam, query: Array, key: Array, value: Array, attn_mask: Array | None = None) -> Array:
    """softmax(query key^T / sqrt(d) + mask) value; a mask of bool takes part where it is true.

    Parameters
    ----------
    query : float[..., queries, d]
    key : float[..., keys, d]
    value : float[..., keys, dv]
    attn_mask : bool or float, broadcast to [..., queries, keys]
    """
    if (
        attn_mask is None
        and query.ndim >= 3
        and query.shape[-1] == value.shape[-1]
        and key.shape[:-2] == query.shape[:-2] == value.shape[:-2]
    ):
        return fast_attention(team, query, key, value)
    scores = matmul(team, query, key, transpose_y=True)
    scores *= query.dtype.type(query.shape[-1] ** -0.5)
    if attn_mask is not None:
        scores += attn_mask if attn_mask.dtype.kind == "f" else np.where(attn_mask, 0.0, -np.inf).astype(scores.dtype)
    scores -= np.max(scores, axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= np.sum(scores, axis=-1, keepdims=True)
    return matmul(team, scores, value)


def fast_attention(team: ThreadTeam, query: Array, key: Array, value: Array) -> Array:
    """softmax(query key^T / sqrt(d)) value by the numpy backend's kernel: float[..., heads, length, d] of equal leading axes."""
    lead, heads = query.shape[:-3], query.shape[-3]
    q, k, v = (_side_by_side(part) for part in (query, key, value))
    out = attend(team, q, k, v, heads)
    return out.reshape(*lead, query.shape[-2], heads, query.shape[-1]).swapaxes(-2, -3)


def _side_by_side(x: Array) -> Array:
    """float[..., heads, length, d] -> float[n, length, heads * d]; a view where that is how it lies in memory."""
    apart = x.swapaxes(-2, -3)
    return apart.reshape(-1, apart.shape[-3], apart.shape[-2] * apart.shape[-1])


def _oriented(x: Array, transposed: Array | bool) -> Array:
    return np.swapaxes(x, -1, -2) if flag(transposed) and x.ndim > 1 else x

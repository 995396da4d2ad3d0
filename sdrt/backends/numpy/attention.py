"""Softmax attention in blocks of scores that stay in the cache, for all heads.

Scores are computed transposed, [keys, queries]: then both products have long runs of queries, which BLAS multiplies half as fast again as
the short runs of a head's numbers. Blocks of keys are combined by the running maximum (Milakov and Gimelshein 2018, Dao et al. 2022); where
|q| |k| bounds all scores of a block, no maximum is needed, since no exponential can overflow or vanish.
"""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.activations import EXPONENT_SCALE, exponential
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import split

__all__ = ["attend"]

_SCORES = 2**18  # scores a block
_QUERIES, _KEYS = 256, 1024  # at most, of a block
_SAFE = 40.0  # exponents of at most this size: the sum of 2**40 keys' exponentials fits into float32, and the least one is no subnormal


@dataclass(frozen=True, slots=True)
class _Block:
    image: int
    heads: slice
    queries: slice


def attend(team: ThreadTeam, q: Float, k: Float, v: Float, heads: int, *, causal: bool = False) -> Float:
    """softmax(q k^T / sqrt(d)) v for each head.

    Parameters
    ----------
    q : float[n, queries, heads * d]
    k, v : float[n, keys, heads * d]
        Any of the three may be a part of a wider array, as long as its last axis is contiguous.
    causal : bool
        Whether a query sees only the keys up to its own place.

    Returns
    -------
    float[n, queries, heads * d]
    """
    n, length, width = q.shape
    size, count = width // heads, k.shape[1]
    out = np.empty((n, length, heads, size), q.dtype)
    results = out.transpose(0, 2, 3, 1)
    queries = q.reshape(n, length, heads, size).transpose(0, 2, 3, 1)
    keys = k.reshape(n, count, heads, size).transpose(0, 2, 1, 3)
    values = v.reshape(n, count, heads, size).transpose(0, 2, 3, 1)
    together = max(1, min(heads, _SCORES // (min(length, _QUERIES) * min(count, _KEYS))))
    groups = split(heads, -(-heads // together))
    runs = split(length, 1 if n * len(groups) >= team.threads else team.threads)
    blocks = [_Block(image, group, run) for image in range(n) for group in groups for run in runs]

    def block(at: _Block) -> None:
        packed = team.scratch.take("keys", keys[at.image, at.heads].shape, q.dtype)
        np.multiply(keys[at.image, at.heads], EXPONENT_SCALE / size**0.5, out=packed)
        value = team.scratch.take("values", values[at.image, at.heads].shape, q.dtype)
        np.copyto(value, values[at.image, at.heads])
        longest = float(np.sqrt(np.square(packed).sum(axis=2).max()))
        for start in range(at.queries.start, at.queries.stop, _QUERIES):
            run = slice(start, min(start + _QUERIES, at.queries.stop))
            results[at.image, at.heads, :, run] = _attend_block(
                team, queries[at.image, at.heads, :, run], packed, value, longest, run.start if causal else None
            )

    team.map_blocks(block, blocks, 4.0 * n * length * count * (width + 16 * heads))
    return out.reshape(n, length, width)


def _attend_block(team: ThreadTeam, queries: Float, keys: Float, values: Float, longest: float, first: int | None) -> Float:
    """Attention of a few queries to all keys.

    Parameters
    ----------
    queries : float[heads, d, queries]
    keys : float[heads, keys, d]
        Times the factor that makes products exponents.
    values : float[heads, d, keys]
    longest : float
        Length of the longest key.
    first : int or None
        Place of the first query if the attention is causal.

    Returns
    -------
    float[heads, d, queries]
    """
    heads, size, width = queries.shape
    dtype = queries.dtype
    query = team.scratch.take("queries", queries.shape, dtype)
    np.copyto(query, queries)
    bounded = longest * float(np.sqrt(np.square(query).sum(axis=1).max())) <= _SAFE
    highest = np.zeros((heads, 1, width), dtype)
    total = np.zeros((heads, 1, width), dtype)
    result = np.zeros((heads, size, width), dtype)
    for start in range(0, keys.shape[1], _KEYS):
        at = slice(start, min(start + _KEYS, keys.shape[1]))
        scores = team.scratch.take("scores", (heads, at.stop - at.start, width), dtype)
        np.matmul(keys[:, at], query, out=scores)
        if first is not None:
            scores[:, np.arange(at.start, at.stop)[:, None] > first + np.arange(width)] = -np.inf
        if not bounded:
            higher = np.maximum.reduce(scores, axis=1, keepdims=True)
            if start:
                np.maximum(higher, highest, out=higher)
                fade = exponential(highest - higher)
                total *= fade
                result *= fade
            highest = higher
            scores -= highest
        exponential(scores, out=scores)
        total += np.add.reduce(scores, axis=1, keepdims=True)
        result += values[:, :, at] @ scores
    result /= total
    return result

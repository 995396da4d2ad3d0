"""Softmax attention of some heads in a block of scores after the other.

Scores are computed transposed, [keys, queries]: then both products have long runs of queries, which BLAS multiplies half as fast again as
the short runs of a head's numbers. Blocks of keys are combined by the running maximum (Milakov and Gimelshein 2018, Dao et al. 2022); where
|q| |k| bounds all scores of a block, no maximum is needed, since no exponential can overflow or vanish.
"""

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.exponential import FASTEST
from sdrt.backends.numpy.scratch import Scratch

__all__ = ["attend_heads"]

_QUERIES, _KEYS = 256, 1024  # at most, of a block
_SAFE = 40.0  # exponents of at most this size: the sum of 2**40 keys' exponentials fits into float32, and the least one is no subnormal


def attend_heads(scratch: Scratch, queries: Float, keys: Float, values: Float, out: Float, first: int | None) -> None:
    """``out`` = attention of queries to all keys.

    Parameters
    ----------
    queries, out : float[heads, d, queries]
    keys : float[heads, keys, d]
    values : float[heads, d, keys]
    first : int or None
        Place of the first query if the attention is causal.
    """
    packed = scratch.take("keys", keys.shape, keys.dtype)
    np.multiply(keys, FASTEST.scale / keys.shape[2] ** 0.5, out=packed)
    value = scratch.take("values", values.shape, values.dtype)
    np.copyto(value, values)
    longest = float(np.sqrt(np.square(packed).sum(axis=2).max()))
    length = queries.shape[2]
    for start in range(0, length, _QUERIES):
        run = slice(start, min(start + _QUERIES, length))
        out[:, :, run] = _attend_block(scratch, queries[:, :, run], packed, value, longest, None if first is None else first + start)


def _attend_block(scratch: Scratch, queries: Float, keys: Float, values: Float, longest: float, first: int | None) -> Float:
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
    query = scratch.take("queries", queries.shape, dtype)
    np.copyto(query, queries)
    bounded = longest * float(np.sqrt(np.square(query).sum(axis=1).max())) <= _SAFE
    highest = np.zeros((heads, 1, width), dtype)
    total = np.zeros((heads, 1, width), dtype)
    result = np.zeros((heads, size, width), dtype)
    for start in range(0, keys.shape[1], _KEYS):
        at = slice(start, min(start + _KEYS, keys.shape[1]))
        scores = scratch.take("scores", (heads, at.stop - at.start, width), dtype)
        np.matmul(keys[:, at], query, out=scores)
        if first is not None:
            scores[:, np.arange(at.start, at.stop)[:, None] > first + np.arange(width)] = -np.inf
        if not bounded:
            higher = np.maximum.reduce(scores, axis=1, keepdims=True)
            if start:
                np.maximum(higher, highest, out=higher)
                fade = highest - higher
                FASTEST(fade, fade, scratch)
                total *= fade
                result *= fade
            highest = higher
            scores -= highest
        FASTEST(scores, scores, scratch)
        total += np.add.reduce(scores, axis=1, keepdims=True)
        result += values[:, :, at] @ scores
    result /= total
    return result

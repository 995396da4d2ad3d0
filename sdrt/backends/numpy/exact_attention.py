"""Softmax attention of some heads, of products without rounding: each query's result is the same whatever it is computed beside.

As in `attention_heads`, scores are computed transposed, [keys, queries], and blocks of keys are combined by the running maximum. Both
products are exact (see `sdrt.exact.product`): that of keys and queries, and that of values and exponentials, which are rounded to multiples
of 2**-23. A row of ones below the values gives the exact sum of the same exponentials, by which the result is divided.
"""

import math

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.scratch import Scratch
from sdrt.exact.exponential import exp2
from sdrt.exact.product import accumulate, round_below, round_left, round_right, runs

__all__ = ["LOG2_E", "attend_heads"]

LOG2_E = 1.4426950408889634
_QUERIES = 256  # at most, of a block
_FLOAT64, _FLOAT32 = np.dtype(np.float64), np.dtype(np.float32)


def attend_heads(scratch: Scratch, queries: Float, keys: Float, values: Float, out: Float, first: int | None) -> None:
    """``out`` = attention of queries to all keys; float32 of the shapes of `attention_heads.attend_heads`."""
    (heads, count, size), length = keys.shape, queries.shape[2]
    # laid out as right operands are rounded fastest, and multiplied transposed
    exponents = np.empty((heads, size, count))
    exponents[...] = keys.transpose(0, 2, 1)
    exponents *= LOG2_E / math.sqrt(size)
    extended = np.ones((heads, count, size + 1))
    extended[:, :, :size] = values.transpose(0, 2, 1)
    packed, weighted = round_right(exponents), round_right(extended)
    for start in range(0, length, _QUERIES):
        run = slice(start, min(start + _QUERIES, length))
        gathered = scratch.take("gathered queries", queries[:, :, run].shape, _FLOAT32)
        np.copyto(gathered, queries[:, :, run])
        query = scratch.take("queries", gathered.shape, _FLOAT64)
        round_left(gathered, query, axis=1)
        sums = _attend_block(scratch, query, packed, weighted, None if first is None else first + start)
        sums[:, :size] /= sums[:, size:]
        out[:, :, run] = sums[:, :size]


def _attend_block(scratch: Scratch, query: Float, keys: Float, values: Float, first: int | None) -> Float:
    """Weight the values by exponentials of the scores.

    Parameters
    ----------
    query : float64[heads, d, queries]
    keys : float64[heads, d, keys]
        Times the factor that makes products exponents of 2.
    values : float64[heads, keys, d + 1]
        The last of each key is 1.
    first : int or None
        Place of the first query if the attention is causal.

    Returns
    -------
    float64[heads, d + 1, queries], the sum of the exponentials in the last row
    """
    heads, _, width = query.shape
    total = np.zeros((heads, values.shape[2], width))
    highest = np.full((heads, 1, width), -np.inf, np.float32)
    for at in runs(keys.shape[2]):
        shape = (heads, at.stop - at.start, width)
        wide = scratch.take("scores", shape, _FLOAT64)
        accumulate(keys[:, :, at].transpose(0, 2, 1), query, wide, scratch)
        scores = scratch.take("exponentials", shape, _FLOAT32)
        np.copyto(scores, wide, casting="same_kind")
        if first is not None:
            scores[:, np.arange(at.start, at.stop)[:, None] > first + np.arange(width)] = -np.inf
        higher = np.maximum(np.maximum.reduce(scores, axis=1, keepdims=True), highest)
        scores -= higher
        exp2(scores, scores, scratch)
        round_below(1.0, scores, wide)
        if at.start:
            fade = highest - higher
            exp2(fade, fade, scratch)
            total *= fade
        highest = higher
        part = scratch.take("weighted", total.shape, _FLOAT64)
        np.matmul(values[:, at].transpose(0, 2, 1), wide, out=part)
        total += part
    return total

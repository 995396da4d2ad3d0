"""Softmax attention for all heads, in blocks of scores that stay in the cache."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import split

__all__ = ["attend"]

_SCORES = 2**18  # scores a block
_QUERIES, _KEYS = 256, 1024  # at most, of a block


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
        team.arithmetic.attend_heads(
            team.scratch,
            queries[at.image, at.heads, :, at.queries],
            keys[at.image, at.heads],
            values[at.image, at.heads],
            results[at.image, at.heads, :, at.queries],
            at.queries.start if causal else None,
        )

    team.map_blocks(block, blocks, 4.0 * n * length * count * (width + 16 * heads))
    return out.reshape(n, length, width)

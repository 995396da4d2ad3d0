"""Token merging: pixels that resemble another take part in self-attention as one, and get back the same result.

Source: Bolya and Hoffman 2023 (arXiv:2303.17604), bipartite soft matching. Of each 2x2 cell of pixels the upper left one is a destination,
the three others are sources, and so are pixels beyond the last whole cell. Each source is matched to the destination that it resembles
most, by the cosine of their vectors; of all sources, those with the best matches are merged into theirs, as many as the ratio says. The
paper chooses the destination in each cell at random at each call; a fixed one makes the network a function, as ``tomesd`` 0.1.3 does with
``use_rand=False``. Of destinations that match equally the first is taken, and of sources that match equally the first is merged first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sdrt.arrays import Float
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import split
from sdrt.backends.numpy.transformer import Condition, CrossAttention, TransformerBlock

__all__ = ["Matching", "MergingBlock", "match"]

Index: TypeAlias = npt.NDArray[np.intp]

_CELL = 2  # pixels along each side
_SHORTEST = 1e-12  # of a vector whose direction counts
_ROWS = 256  # sources whose similarities to all destinations are computed at a time


@dataclass(frozen=True, eq=False)
class Matching:
    """Which pixels of one picture are merged into which.

    Parameters
    ----------
    kept : int[k]
        Sources that stay by themselves.
    destinations : int[d]
    merged : int[r]
        Sources that are merged.
    into : int[r]
        Where the destination of each stands among these.
    """

    kept: Index
    destinations: Index
    merged: Index
    into: Index

    def merge(self, x: Float) -> Float:
        """float[pixels, width] -> float[k + d, width]: those that are kept, and destinations as the mean of all that are merged there."""
        tokens = np.concatenate([x[self.kept], x[self.destinations]])
        means, counts = tokens[len(self.kept) :], np.ones((len(self.destinations), 1), x.dtype)
        for each in _by_turns(self.into):
            # of one turn, no two are merged into the same
            means[self.into[each]] += x[self.merged[each]]
            counts[self.into[each]] += 1
        means /= counts
        return tokens

    def unmerge(self, tokens: Float) -> Float:
        """float[k + d, width] -> float[pixels, width]: those that are merged get their destination's."""
        own = tokens[len(self.kept) :]
        x = np.empty((len(self.kept) + len(self.destinations) + len(self.merged), tokens.shape[1]), tokens.dtype)
        x[self.kept], x[self.destinations], x[self.merged] = tokens[: len(self.kept)], own, own[self.into]
        return x


def match(team: ThreadTeam, x: Float, size: tuple[int, int], ratio: float) -> Matching:
    """Match the pixels of one picture.

    Parameters
    ----------
    x : float[height * width, channels]
    size : (height, width)
    ratio : float
        The share of all pixels that are merged, as far as there are sources.
    """
    sources, destinations = places(*size)
    count = min(len(sources), int(len(x) * ratio))
    length = np.sqrt(team.arithmetic.total(x * x, -1, keepdims=True))
    unit: Float = x / np.maximum(length, x.dtype.type(_SHORTEST))
    best, nearest = _nearest(team, unit[sources], unit[destinations])
    order = np.argsort(-best, kind="stable")
    return Matching(sources[order[count:]], destinations, sources[order[:count]], nearest[order[:count]])


def _nearest(team: ThreadTeam, sources: Float, destinations: Float) -> tuple[Float, Index]:
    """Return each source's largest product with a destination, and the first destination that gives it."""
    packed = team.arithmetic.pack(np.ascontiguousarray(destinations.T))
    best, nearest = np.empty(len(sources), sources.dtype), np.empty(len(sources), np.intp)

    def block(rows: slice) -> None:
        scores = team.scratch.take("similarities", (rows.stop - rows.start, packed.shape[1]), sources.dtype)
        team.arithmetic.multiply(sources[rows], packed, scores, team.scratch)
        nearest[rows] = scores.argmax(axis=1)
        best[rows] = scores.max(axis=1)

    blocks = split(len(sources), -(-len(sources) // _ROWS))
    team.map_blocks(block, blocks, 2.0 * len(sources) * destinations.size)
    return best, nearest


@lru_cache(maxsize=16)
def places(height: int, width: int) -> tuple[Index, Index]:
    """Return sources and destinations of a picture of this size, from the first pixel on.

    >>> [each.tolist() for each in places(2, 5)]
    [[1, 3, 4, 5, 6, 7, 8, 9], [0, 2]]
    """
    is_destination = np.zeros((height, width), bool)
    is_destination[: height // _CELL * _CELL : _CELL, : width // _CELL * _CELL : _CELL] = True
    flat: Any = is_destination.ravel()
    return np.flatnonzero(~flat), np.flatnonzero(flat)


def _by_turns(into: Index) -> Iterator[Index]:
    """Yield the positions of ``into`` in turns, in each of which no value comes twice: the first of every value, the second, and so on."""
    order = np.argsort(into, kind="stable")
    values = into[order]
    begins = np.flatnonzero(np.diff(values, prepend=-1))
    turn = np.arange(len(values)) - np.repeat(begins, np.diff(begins, append=len(values)))
    by_turn = order[np.argsort(turn, kind="stable")]
    if len(values):
        yield from np.split(by_turn, np.cumsum(np.bincount(turn))[:-1])


@dataclass(frozen=True)
class MergingBlock(TransformerBlock):
    """A block whose self-attention sees merged pixels.

    Parameters
    ----------
    ratio : float
    """

    ratio: float = 0.0

    @classmethod
    def of(cls, block: TransformerBlock, ratio: float) -> "MergingBlock":
        """Return a block with these weights."""
        return cls(block.norm1, block.attn1, block.norm2, block.attn2, block.norm3, block.ff, ratio)

    def attend(self, team: ThreadTeam, x: Float, condition: Condition, size: tuple[int, int]) -> Float:
        """float[n, length, width] -> the same."""
        if min(size) < _CELL or isinstance(self.attn1, CrossAttention):
            return super().attend(team, x, condition, size)
        matchings = [match(team, picture, size, self.ratio) for picture in x]
        normed = self.norm1(team, x)
        tokens = np.stack([matching.merge(picture) for matching, picture in zip(matchings, normed, strict=True)])
        attended = self.attn1(team, tokens)
        return x + np.stack([matching.unmerge(each) for matching, each in zip(matchings, attended, strict=True)])

"""Byte-level byte-pair encoding: from a word to token ids.

A merge joins two neighbouring tokens; of all merges that a word allows, the one of the lowest rank happens first, the leftmost of equals.
Everything is done on ids: a pair is one integer, and no string is built.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

from sdrt.tokenizer.split import MARKER_PARTS

__all__ = ["ID_BITS", "Merges", "WordCache"]

ID_BITS = 20  # a pair of ids is packed as left << ID_BITS | right
_NO_MERGE = 1 << 62
_LONG_WORD = 48  # symbols; from here on a heap is faster than searching a list (and n log n instead of n squared)


@dataclass(frozen=True)
class Merges:
    """A vocabulary as the merge loop needs it.

    Parameters
    ----------
    ranks : mapping from int to int
        Rank of each pair of ids, packed.
    merged : sequence of int
        The id that a merge of this rank makes.
    inner, last : sequence of int, 256 each
        The id of each byte inside a word, and as the last one of a word (``</w>``).
    """

    ranks: Mapping[int, int]
    merged: Sequence[int]
    inner: Sequence[int]
    last: Sequence[int]

    def encode(self, word: str) -> tuple[int, ...]:
        """Token ids of one word.

        Raises
        ------
        UnicodeEncodeError : a lone surrogate
        """
        data = word.encode()
        inner = self.inner
        symbols = [inner[byte] for byte in data]
        symbols[-1] = self.last[data[-1]]
        return tuple(self._merge(symbols) if len(symbols) < _LONG_WORD else self._merge_long(symbols))

    def _merge(self, symbols: list[int]) -> list[int]:
        rank_of, merged = self.ranks.get, self.merged
        ranks = [rank_of(left << ID_BITS | right, _NO_MERGE) for left, right in pairwise(symbols)]
        while ranks:
            best = min(ranks)
            if best == _NO_MERGE:
                break
            i = ranks.index(best)
            new = symbols[i] = merged[best]
            del symbols[i + 1], ranks[i]
            if i:
                ranks[i - 1] = rank_of(symbols[i - 1] << ID_BITS | new, _NO_MERGE)
            if i < len(ranks):
                ranks[i] = rank_of(new << ID_BITS | symbols[i + 1], _NO_MERGE)
        return symbols

    def _merge_long(self, symbols: list[int]) -> Iterator[int]:
        """The same with a heap over a linked list: an entry whose pair has changed since is stale, and skipped."""
        rank_of, merged = self.ranks.get, self.merged
        before, after = list(range(-1, len(symbols) - 1)), [*range(1, len(symbols)), -1]
        gone = -1

        def entry(i: int) -> tuple[int, int, int] | None:
            pair = symbols[i] << ID_BITS | symbols[after[i]]
            rank = rank_of(pair)
            return None if rank is None else (rank, i, pair)

        heap = [found for i in range(len(symbols) - 1) if (found := entry(i))]
        heapify(heap)
        while heap:
            rank, i, pair = heappop(heap)
            j = after[i]
            if symbols[i] == gone or j < 0 or symbols[i] << ID_BITS | symbols[j] != pair:
                continue
            symbols[i], symbols[j] = merged[rank], gone
            after[i] = after[j]
            if after[j] >= 0:
                before[after[j]] = i
                if found := entry(i):
                    heappush(heap, found)
            if before[i] >= 0 and (found := entry(before[i])):
                heappush(heap, found)
        return (symbol for symbol in symbols if symbol != gone)


class WordCache(dict[str, tuple[int, ...]]):
    """Words already encoded; asking for another encodes it.

    It holds at most ``limit`` words (each thread that adds one at the same moment may add one more) of at most ``LONGEST`` characters, and
    starts anew when it is full. Reading and adding are single dict operations, so that threads need no lock.

    Raises
    ------
    UnicodeEncodeError : a lone surrogate
    """

    LONGEST = 64

    def __init__(self, merges: Merges, limit: int = 2**14) -> None:
        super().__init__()
        self.merges = merges
        self.limit = limit

    def __missing__(self, word: str) -> tuple[int, ...]:
        if parts := MARKER_PARTS.get(word):
            ids = tuple(i for part in parts for i in self.merges.encode(part))
        else:
            ids = self.merges.encode(word)
        if len(word) <= self.LONGEST:
            if len(self) >= self.limit:
                self.clear()
            self[word] = ids
        return ids

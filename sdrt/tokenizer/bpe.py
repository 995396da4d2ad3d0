"""Byte-level byte-pair encoding: convert a word to token ids.

A merge joins two adjacent tokens. Of all merges possible in a word, the one with the lowest rank comes first, and of equal ranks the
leftmost. All work is done on ids: a pair is one integer, and no strings are built.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

from sdrt.tokenizer.split import MARKER_PARTS

__all__ = ["ID_BITS", "Merges", "WordCache"]

ID_BITS = 20  # a pair of ids is packed as left << ID_BITS | right
_NO_MERGE = 1 << 62
_LONG_WORD = 48  # symbols; from this length on a heap is faster than searching a list (n log n instead of n squared)


@dataclass(frozen=True)
class Merges:
    """A vocabulary in the form that the merge loop needs.

    Parameters
    ----------
    ranks : mapping from int to int
        The rank of each pair of ids, packed.
    merged : sequence of int
        The id that the merge of each rank produces.
    inner, last : sequence of int, 256 each
        The id of each byte inside a word, and at the end of one (``</w>``).
    """

    ranks: Mapping[int, int]
    merged: Sequence[int]
    inner: Sequence[int]
    last: Sequence[int]

    def encode(self, word: str) -> tuple[int, ...]:
        """Return the token ids of one word.

        Raises
        ------
        UnicodeEncodeError : a lone surrogate
        """
        data = word.encode()
        inner = self.inner
        symbols = [inner[byte] for byte in data]
        symbols[-1] = self.last[data[-1]]
        return tuple(self.merge(symbols))

    def merge(self, symbols: list[int]) -> Iterable[int]:
        """Join the symbols of a word, which are consumed; a symbol that no merge knows, such as -1, stays as it is."""
        return self._merge(symbols) if len(symbols) < _LONG_WORD else self._merge_long(symbols)

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
        """Merge with a heap over a linked list; an entry whose pair has changed since is stale, and skipped."""
        rank_of, merged = self.ranks.get, self.merged
        before, after = list(range(-1, len(symbols) - 1)), [*range(1, len(symbols)), -1]
        gone = -2  # -1 may be a symbol

        def entry(i: int) -> tuple[int, int, int] | None:
            pair = symbols[i] << ID_BITS | symbols[after[i]]
            rank = rank_of(pair)
            return None if rank is None else (rank, i, pair)

        heap = [new for i in range(len(symbols) - 1) if (new := entry(i))]
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
                if new := entry(i):
                    heappush(heap, new)
            if before[i] >= 0 and (new := entry(before[i])):
                heappush(heap, new)
        return (symbol for symbol in symbols if symbol != gone)


class WordCache(dict[str, tuple[int, ...]]):
    """A cache of encoded words; a missing word is encoded on access.

    It holds at most ``limit`` words (threads that add one at the same moment may exceed it by one each) of at most ``LONGEST`` characters,
    and is cleared when full. Reads and writes are single dict operations, so threads need no lock.

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

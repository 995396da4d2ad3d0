"""A vocabulary: 256 bytes, the same 256 at the end of a word, the tokens made by merges, and a few whole tokens."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from operator import add

import numpy as np

from sdrt.errors import ModelError
from sdrt.tokenizer.bpe import ID_BITS, Merges

__all__ = ["END_OF_WORD", "Vocabulary", "byte_symbols"]

END_OF_WORD = "</w>"


@cache
def byte_symbols() -> tuple[str, ...]:
    """Return the character that represents each byte in a vocabulary file: itself if printable, else one from U+0100 on.

    Source: openai/gpt-2, ``src/encoder.py::bytes_to_unicode``.

    >>> byte_symbols()[ord("a")], byte_symbols()[0], len(set(byte_symbols()))
    ('a', 'Ā', 256)
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    substitutes = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(substitutes)) for byte in range(256))


@cache
def _bytes_of_symbols() -> dict[str, int]:
    return {symbol: byte for byte, symbol in enumerate(byte_symbols())}


class Vocabulary:
    """Tokens with their ids, and the merges between them.

    Parameters
    ----------
    merges : Merges
    ids : mapping from str to int
        The id of each token.
    """

    def __init__(self, merges: Merges, ids: Mapping[str, int]) -> None:
        self.merges = merges
        self._ids = ids

    @classmethod
    def from_tokens(cls, ids: Mapping[str, int], lefts: Sequence[str], rights: Sequence[str], unk_token: str, source: str) -> "Vocabulary":
        """Build a vocabulary from the content of ``vocab.json`` and ``merges.txt``.

        Parameters
        ----------
        ids : mapping from token to id
        lefts, rights : sequence of str, of equal length
            The two tokens of each merge, by rank.
        unk_token : str
            The substitute for a byte that the vocabulary lacks.
        source : str
            The files, for messages.

        Raises
        ------
        ModelError : invalid ids, a merge of unknown tokens, or a missing byte without an unknown token
        """
        numbers = ids.values()
        if set(map(type, numbers)) - {int} or not ids or not 0 <= min(numbers) <= max(numbers) < 1 << ID_BITS:
            raise ModelError(f"{source}: each token must have an id, a whole number below {1 << ID_BITS}, got others; fetch the file again")
        if (distinct := len(set(numbers))) != len(ids):
            raise ModelError(f"{source}: each token must have its own id, got {distinct} ids for {len(ids)} tokens; fetch the file again")
        try:
            packed = np.array([*map(ids.__getitem__, lefts)], np.int64) << ID_BITS | np.array([*map(ids.__getitem__, rights)], np.int64)
            merged = [*map(ids.__getitem__, map(add, lefts, rights))]
        except KeyError as error:
            raise ModelError(
                f"{source}: a merge must join tokens of the vocabulary, got {error}; take both files from one model"
            ) from error
        ranks = dict(zip(packed.tolist(), range(len(merged)), strict=True))
        inner, last = ([ids.get(symbol + end, ids.get(unk_token, -1)) for symbol in byte_symbols()] for end in ("", END_OF_WORD))
        if -1 in inner + last:
            raise ModelError(
                f"{source}: a vocabulary must have all bytes, alone and with {END_OF_WORD}, or its unknown token {unk_token!r}, "
                f"got {(inner + last).count(-1)} of 512 missing; fetch the file again"
            )
        return cls(Merges(ranks, merged, inner, last), ids)

    @cached_property
    def tokens(self) -> Mapping[int, str]:
        """The token of each id."""
        return dict(zip(self._ids.values(), self._ids, strict=True))

    def find(self, token: str) -> int | None:
        """Return the id of a token, or None if it is not in the vocabulary."""
        return self._ids.get(token)

    def is_word(self, token: str) -> bool:
        """Return whether ordinary text can become this token: whether it stands for a byte, or a merge makes it."""
        known, merges = self.find(token), self.merges
        return known is not None and (known in merges.inner or known in merges.last or known in merges.merged)

    @property
    def size(self) -> int:
        """The number of tokens."""
        return len(self._ids)

    def decode(self, tokens: Iterable[str]) -> str:
        """Return the text of tokens: their bytes, a blank at each end of a word, and U+FFFD for bytes that are not UTF-8.

        As in the reference, a token with a character that represents no byte is used literally.
        """
        to_byte = _bytes_of_symbols()
        data = b"".join(bytes(map(to_byte.__getitem__, t)) if to_byte.keys() >= set(t) else t.encode("utf-8", "replace") for t in tokens)
        return data.decode("utf-8", "replace").replace(END_OF_WORD, " ").strip()

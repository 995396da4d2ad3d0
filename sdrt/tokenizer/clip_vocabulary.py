"""CLIP's own vocabulary, which ships with sdrt; all Stable Diffusion 1.x, 2.x and XL models use it.

Origin: ``clip/bpe_simple_vocab_16e6.txt.gz`` of openai/CLIP (MIT, see ``clip/LICENSE``), reduced to the merges that CLIP uses, which are
those in ``merges.txt`` of openai/clip-vit-large-patch14. Everything else follows from them: ids 0 to 255 are the bytes, 256 to 511 the
bytes at the end of a word, then one token for each merge, then the two markers. ``tests/tokenizer/generate_clip_merges.py`` made
``clip/merges.bin`` and documents its layout.
"""

import zlib
from functools import cached_property
from pathlib import Path

import numpy as np

from sdrt.tokenizer.bpe import ID_BITS, Merges
from sdrt.tokenizer.vocabulary import END_OF_WORD, Vocabulary, byte_symbols

__all__ = ["BOS_TOKEN", "EOS_TOKEN", "ClipVocabulary"]

BOS_TOKEN = "<|startoftext|>"  # noqa: S105  a text token, not a secret
EOS_TOKEN = "<|endoftext|>"  # noqa: S105
_FIRST_MERGE = 512  # id of the first merge's token


class ClipVocabulary(Vocabulary):
    """CLIP's 49,408 tokens, whose strings are built on first use.

    >>> ClipVocabulary().size
    49408
    """

    def __init__(self) -> None:
        packed = zlib.decompress((Path(__file__).parent / "clip" / "merges.bin").read_bytes())
        # u8[4,n]: low and high bytes of the left ids, then of the right ids
        left_low, left_high, right_low, right_high = np.frombuffer(packed, np.uint8).reshape(4, -1).astype(np.int64)
        self._pairs = (left_high << 8 | left_low) << ID_BITS | right_high << 8 | right_low
        count = self._pairs.size
        # The bytes' ids follow the order of their symbols, printable ones first.
        order = {symbol: i for i, symbol in enumerate(sorted(byte_symbols()))}
        inner = [order[symbol] for symbol in byte_symbols()]
        ranks = dict(zip(self._pairs.tolist(), range(count), strict=True))
        merges = Merges(ranks, range(_FIRST_MERGE, _FIRST_MERGE + count), inner, [i + len(inner) for i in inner])
        # Only the tokens that a tokenizer is built with; the others are numbered on first use.
        super().__init__(merges, {**order, BOS_TOKEN: _FIRST_MERGE + count, EOS_TOKEN: _FIRST_MERGE + count + 1})

    @cached_property
    def tokens(self) -> dict[int, str]:
        """The token of each id."""
        symbols = sorted(byte_symbols())
        tokens = [*symbols, *(symbol + END_OF_WORD for symbol in symbols)]
        for pair in self._pairs.tolist():
            tokens.append(tokens[pair >> ID_BITS] + tokens[pair & (1 << ID_BITS) - 1])
        return dict(enumerate([*tokens, BOS_TOKEN, EOS_TOKEN]))

    @property
    def merge_tokens(self) -> list[tuple[str, str]]:
        """The two tokens of each merge, by rank, as listed in ``merges.txt``."""
        return [(self.tokens[pair >> ID_BITS], self.tokens[pair & (1 << ID_BITS) - 1]) for pair in self._pairs.tolist()]

    @cached_property
    def _all_ids(self) -> dict[str, int]:
        return {token: i for i, token in self.tokens.items()}

    def find(self, token: str) -> int | None:
        """Return the id of a token, or None if it is not in the vocabulary."""
        return self._ids[token] if token in self._ids else self._all_ids.get(token)

    @property
    def size(self) -> int:
        """The number of tokens."""
        return _FIRST_MERGE + self._pairs.size + 2

"""CLIP's tokenizer in parts, and the parts that ports get wrong: cleaning, splitting into words, merging."""

import html
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import chain

from sdrt.tokenizer.bpe import ID_BITS, Merges, WordCache
from sdrt.tokenizer.clip_vocabulary import BOS_TOKEN, EOS_TOKEN, ClipVocabulary
from sdrt.tokenizer.normalize import WHITE_SPACE, collapse_space, lowercase, nfc, normalize
from sdrt.tokenizer.split import MARKER_PARTS, words
from sdrt.tokenizer.unicode_tables import unicode_tables
from sdrt.tokenizer.vocabulary import END_OF_WORD, byte_symbols

__all__ = ["VARIANTS", "Variant"]

_SPECIAL = re.compile(f"({re.escape(BOS_TOKEN)}|{re.escape(EOS_TOKEN)})")


@cache
def _vocabulary() -> ClipVocabulary:
    return ClipVocabulary()


@cache
def _cached_words() -> WordCache:
    return WordCache(_vocabulary().merges)


def _merged_by_rank(word: str) -> Iterable[int]:
    return _cached_words()[word]


@dataclass(frozen=True)
class Variant:
    """A tokenizer that does one thing otherwise than CLIP's.

    Parameters
    ----------
    kind, text : str
        Of the fault that it has.
    clean : function
        From a prompt to its cleaned text.
    split : function
        From the cleaned text to words.
    merge : function
        From a word to ids.
    has_specials : bool
        Whether ``<|startoftext|>`` and ``<|endoftext|>`` in a prompt are those tokens.
    """

    kind: str
    text: str
    clean: Callable[[str], str] = normalize
    split: Callable[[str], list[str]] = words
    merge: Callable[[str], Iterable[int]] = _merged_by_rank
    has_specials: bool = True

    def ids(self, text: str) -> list[int]:
        """Return the ids of a prompt, without those that begin and end a row."""
        ids: list[int] = []
        for part in _SPECIAL.split(text) if self.has_specials else [text]:
            special = _vocabulary().find(part) if self.has_specials and _SPECIAL.fullmatch(part) else None
            ids += [special] if special is not None else chain.from_iterable(map(self._word_ids, self.split(self.clean(part))))
        return ids

    def _word_ids(self, word: str) -> Iterable[int]:
        return chain.from_iterable(map(self.merge, MARKER_PARTS.get(word, (word,))))


# ---- cleaning


def _with_capitals(text: str) -> str:
    return collapse_space(nfc(text))


def _spaced(text: str) -> str:
    return lowercase(nfc(text))


def _folded(text: str) -> str:
    return collapse_space(nfc(text)).casefold()


def _not_composed(text: str) -> str:
    return lowercase(collapse_space(text))


def _compatible(text: str) -> str:
    return lowercase(collapse_space(unicodedata.normalize("NFKC", text)))


def _without_accents(text: str) -> str:
    return lowercase(collapse_space("".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")))


def _by_python(text: str) -> str:
    return collapse_space(nfc(text)).lower()


def _unescaped(text: str) -> str:
    return normalize(html.unescape(html.unescape(text)))


_STRAIGHT = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "ﬁ": "fi", "ﬂ": "fl", "…": "…"})  # noqa: RUF001


def _by_ftfy(text: str) -> str:
    """Straighten quotes, open ligatures and narrow wide letters, as ftfy does before openai/CLIP unescapes HTML."""
    narrow = "".join(unicodedata.normalize("NFKC", c) if "\uff01" <= c <= "\uff5e" else c for c in text.translate(_STRAIGHT))
    return normalize(html.unescape(html.unescape(narrow)))


def _ascii_alone(text: str) -> str:
    return normalize(text).encode("ascii", "ignore").decode()


def _ascii_first(text: str) -> str:
    return normalize(nfc(text).encode("ascii", "ignore").decode())


# ---- splitting

_CONTRACTIONS, _MARKERS = "'(?:s|t|re|ve|m|ll|d)", r"<\|(?:start|end)oftext\|>"
_OTHERS = r"[^\t-\r a-z0-9]"


def _by(pattern: str, shape: Callable[[str], str] | None = None) -> Callable[[str], list[str]]:
    """Return the function that splits by another pattern over shapes: ``z`` is any letter, ``0`` any number, ``!`` any symbol."""
    compiled = re.compile(pattern)

    def split(text: str) -> list[str]:
        shapes = _shape(text) if shape is None else shape(text)
        return [text[match.start() : match.end()] for match in compiled.finditer(shapes)]

    return split


def _shape(text: str) -> str:
    # capitals are letters, where a variant keeps them
    return text.translate(unicode_tables().shapes).lower()


def _shape_of_capitals(text: str) -> str:
    """Return a shape in which capitals are letters that begin no contraction."""
    return re.sub("[A-Z]", "z", text.translate(unicode_tables().shapes))


def _shape_of_ascii(text: str) -> str:
    """Return a shape in which letters beyond ASCII are symbols."""
    return "".join(s if c.isascii() or s == " " else "!" for c, s in zip(text, _shape(text), strict=True))


def _shape_of_blanks(text: str) -> str:
    """Return a shape in which white space beyond ASCII is a symbol."""
    return "".join("!" if c in WHITE_SPACE and not c.isascii() else s for c, s in zip(text, _shape(text), strict=True))


def _at_every_blank(text: str) -> list[str]:
    """Split by the pattern, between the blanks of a text that may stand in a row: each empty piece is a word."""
    return list(chain.from_iterable(words(piece) or [" "] for piece in text.split(" ")))


# ---- merging


def _symbols(word: str) -> list[int]:
    merges, data = _vocabulary().merges, word.encode()
    return [*(merges.inner[byte] for byte in data[:-1]), merges.last[data[-1]]]


def _merged_from_the_left(word: str) -> Iterable[int]:
    """Make the leftmost merge that there is, whatever its rank."""
    merges, symbols, i = _vocabulary().merges, _symbols(word), 0
    while i < len(symbols) - 1:
        rank = merges.ranks.get(symbols[i] << ID_BITS | symbols[i + 1])
        if rank is None:
            i += 1
        else:
            symbols[i : i + 2] = [merges.merged[rank]]
            i = max(i - 1, 0)
    return symbols


def _longest_first(word: str) -> Iterable[int]:
    """Take the longest token that the rest of the word begins with, as WordPiece does."""
    symbols, ids = "".join(byte_symbols()[byte] for byte in word.encode()) + END_OF_WORD, []
    while symbols:
        for length in range(len(symbols), 0, -1):
            if (found := _vocabulary().find(symbols[:length])) is not None:
                ids.append(found)
                symbols = symbols[length:]
                break
        else:
            return ids
    return ids


def _without_an_end(word: str) -> Iterable[int]:
    merges = _vocabulary().merges
    return merges.merge([merges.inner[byte] for byte in word.encode()])


def _by_character(unknown: Callable[[Merges], list[int]]) -> Callable[[str], Iterable[int]]:
    """Return the function that looks up characters, not their bytes."""

    def merge(word: str) -> Iterable[int]:
        vocabulary = _vocabulary()
        symbols: list[int] = []
        for symbol in (*word[:-1], word[-1] + END_OF_WORD):
            found = vocabulary.find(symbol)
            symbols += unknown(vocabulary.merges) if found is None else [found]
        return vocabulary.merges.merge(symbols)

    return merge


def _nothing(_: Merges) -> list[int]:
    return []


def _unknown(_: Merges) -> list[int]:
    return [_vocabulary().find(EOS_TOKEN) or 0]


def _words_or_unknown(word: str) -> Iterable[int]:
    """Replace a whole word with a character beyond ASCII by the unknown token."""
    return _merged_by_rank(word) if word.isascii() else _unknown(_vocabulary().merges)


_SMALL = r"[a-z]+|[0-9]|" + _CONTRACTIONS + "|" + _MARKERS
_PATTERN = rf"{_SMALL}|{_OTHERS}+"
_PYTHONS = rf"{_SMALL}|[^\t-\r\x1c-\x1f a-z0-9]+"

# fmt: off
VARIANTS: tuple[Variant, ...] = (
    Variant("not_lowercased", "capitals are kept", clean=_with_capitals, split=_by(_PATTERN)),
    Variant("not_lowercased", "capitals are kept", clean=_with_capitals, split=_by(_PATTERN, _shape_of_capitals)),
    Variant("lowercased_otherwise", "lower case is Python's, which has a final sigma", clean=_by_python),
    Variant("lowercased_otherwise", "case is folded, where ß is ss", clean=_folded),
    Variant("not_normalised", "characters are not composed (NFC)", clean=_not_composed),
    Variant("not_normalised", "characters are replaced by compatible ones (NFKC in place of NFC)", clean=_compatible),
    Variant("accents_stripped", "accents are removed", clean=_without_accents),
    Variant("html_unescaped", "HTML entities are turned into characters, as openai/CLIP does and transformers does not", clean=_unescaped),
    Variant("cleaned_by_ftfy", "quotes, ligatures and wide letters are made plain, as ftfy does", clean=_by_ftfy),
    Variant("white_space_kept", "of two blanks in a row, one becomes a word", clean=_spaced, split=_at_every_blank),
    Variant("white_space_kept", "white space beyond ASCII is a symbol", clean=_spaced, split=_by(_PATTERN, _shape_of_blanks)),
    Variant("control_characters_are_blanks", "U+001C to U+001F separate words, as in Python", split=_by(_PYTHONS)),
    Variant("numbers_not_split", "digits in a row are one word", split=_by(rf"[a-z]+|[0-9]+|{_CONTRACTIONS}|{_MARKERS}|{_OTHERS}+")),
    Variant("contractions_not_split", "'s, 't, 're, 've, 'm, 'll and 'd are no words", split=_by(rf"[a-z]+|[0-9]|{_MARKERS}|{_OTHERS}+")),
    Variant("not_split_at_punctuation", "words are split at blanks alone", split=_by(r"[^\t-\r ]+")),
    Variant("punctuation_not_joined", "each punctuation mark is a word", split=_by(rf"{_SMALL}|{_OTHERS}")),
    Variant("only_ascii_letters", "letters beyond ASCII are taken for symbols", split=_by(_PATTERN, _shape_of_ascii)),
    Variant("merges_in_the_wrong_order", "merges are made from left to right, not by rank", merge=_merged_from_the_left),
    Variant("merges_in_the_wrong_order", "the longest token goes first, not the merge of the lowest rank", merge=_longest_first),
    Variant("end_of_word_missing", "the last symbol of a word has no </w>", merge=_without_an_end),
    Variant("bytes_not_encoded", "characters, not UTF-8 bytes, are looked up; others are unknown", merge=_by_character(_unknown)),
    Variant("bytes_not_encoded", "characters, not UTF-8 bytes, are looked up; others are dropped", merge=_by_character(_nothing)),
    Variant("bytes_not_encoded", "characters beyond ASCII are dropped", clean=_ascii_alone),
    Variant("bytes_not_encoded", "characters beyond ASCII are dropped", clean=_ascii_first),
    Variant("bytes_not_encoded", "words with characters beyond ASCII are unknown", merge=_words_or_unknown),
    Variant("special_tokens_not_recognised", "<|startoftext|> and <|endoftext|> are read as text", has_specials=False),
)
# fmt: on

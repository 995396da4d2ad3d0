"""CLIP's tokenizer written down anew, after openai/CLIP and transformers, and tokenizers that get one thing of it wrong each."""

import html
import re
import unicodedata
from functools import cache
from itertools import pairwise

from sdrt.tokenizer.clip_vocabulary import ClipVocabulary

__all__ = ["WRONG_TOKENIZERS", "RightTokenizer"]

BOS, EOS = 49406, 49407
SPECIAL = {"<|startoftext|>": BOS, "<|endoftext|>": EOS}
CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


@cache
def files() -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """vocab.json and merges.txt: ids by token, and ranks by pair."""
    vocabulary = ClipVocabulary()
    return {token: i for i, token in vocabulary.tokens.items()}, {pair: rank for rank, pair in enumerate(vocabulary.merge_tokens)}


@cache
def byte_symbols() -> dict[int, str]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + k) for k, byte in enumerate(others)}


class RightTokenizer:
    pad: int | None = None
    length = 77

    def __call__(self, text: str) -> list[int]:
        ids = self.body(text)
        return [BOS, *ids, EOS]

    def body(self, text: str) -> list[int]:
        ids = []
        for part in re.split(r"(<\|startoftext\|>|<\|endoftext\|>)", text):
            ids += [SPECIAL[part]] if part in SPECIAL else [i for word in self.words(self.clean(part)) for i in self.ids(word)]
        return ids

    def clean(self, text: str) -> str:
        return "".join(self.lower(c) for c in self.compose(text))

    def lower(self, c: str) -> str:
        return c.lower()

    def compose(self, text: str) -> str:
        return unicodedata.normalize("NFC", text)

    def is_space(self, c: str) -> bool:
        return c.isspace() and not "\x1c" <= c <= "\x1f"

    def kind(self, c: str) -> str:
        if self.is_space(c):
            return "space"
        return {"L": "letter", "N": "number"}.get(unicodedata.category(c)[0], "symbol")

    def words(self, text: str) -> list[str]:
        words, i = [], 0
        while i < len(text):
            whole = next((mark for mark in (*SPECIAL, *self.contractions()) if text.startswith(mark, i)), None)
            kind = self.kind(text[i])
            j = i + 1
            if whole is not None:
                j = i + len(whole)
            elif kind in ("letter", "symbol"):
                while j < len(text) and self.kind(text[j]) == kind:
                    j += 1
            if whole in SPECIAL:
                words += ["<|", text[i + 2 : j - 2], "|>"]
            elif kind != "space":
                words.append(text[i:j])
            i = j
        return words

    def contractions(self) -> tuple[str, ...]:
        return CONTRACTIONS

    def symbols(self, word: str) -> list[str]:
        found = [byte_symbols()[byte] for byte in word.encode()]
        return [*found[:-1], found[-1] + "</w>"]

    def ids(self, word: str) -> list[int]:
        vocabulary, _ = files()
        return [vocabulary.get(symbol, EOS) for symbol in self.merged(self.symbols(word))]

    def merged(self, symbols: list[str]) -> list[str]:
        _, ranks = files()
        while len(symbols) > 1:
            best = min(pairwise(symbols), key=lambda pair: ranks.get(pair, 10**9))
            if best not in ranks:
                break
            i = next(i for i, pair in enumerate(pairwise(symbols)) if pair == best)
            symbols = [*symbols[:i], "".join(best), *symbols[i + 2 :]]
        return symbols


class NoStart(RightTokenizer):
    def __call__(self, text: str) -> list[int]:
        return super().__call__(text)[1:]


class NoEnd(RightTokenizer):
    def __call__(self, text: str) -> list[int]:
        return super().__call__(text)[:-1]


class Padded(RightTokenizer):
    """A right one with rows of 77."""

    fill = EOS

    def __call__(self, text: str) -> list[int]:
        row = [BOS, *self.body(text)[: self.length - 2], EOS]
        return row + [self.fill] * (self.length - len(row))


class PadsWithZero(Padded):
    fill = 0


class PadsTo64(Padded):
    length = 64


class CutsOneEarly(Padded):
    def body(self, text: str) -> list[int]:
        return super().body(text)[:74]


class LosesTheEnd(Padded):
    def __call__(self, text: str) -> list[int]:
        row = [BOS, *self.body(text), EOS][: self.length]
        return row + [self.fill] * (self.length - len(row))


class KeepsCapitals(RightTokenizer):
    def lower(self, c: str) -> str:
        return c


class KnowsAsciiBlanksAlone(RightTokenizer):
    def is_space(self, c: str) -> bool:
        return c in "\t\n\v\f\r "


class TakesPythonsBlanks(RightTokenizer):
    def is_space(self, c: str) -> bool:
        return c.isspace()


class NotComposed(RightTokenizer):
    def compose(self, text: str) -> str:
        return text


class Compatible(RightTokenizer):
    def compose(self, text: str) -> str:
        return unicodedata.normalize("NFKC", text)


class StripsAccents(RightTokenizer):
    def compose(self, text: str) -> str:
        return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")


class FinalSigma(RightTokenizer):
    def clean(self, text: str) -> str:
        return self.compose(text).lower()


class Unescapes(RightTokenizer):
    def compose(self, text: str) -> str:
        return super().compose(html.unescape(html.unescape(text)))


class MergesFromTheLeft(RightTokenizer):
    def merged(self, symbols: list[str]) -> list[str]:
        _, ranks = files()
        i = 0
        while i < len(symbols) - 1:
            if (symbols[i], symbols[i + 1]) in ranks:
                symbols = [*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :]]
                i = max(i - 1, 0)
            else:
                i += 1
        return symbols


class NoEndOfWord(RightTokenizer):
    def symbols(self, word: str) -> list[str]:
        return [byte_symbols()[byte] for byte in word.encode()]


class JoinsDigits(RightTokenizer):
    def words(self, text: str) -> list[str]:
        words: list[str] = []
        for part in re.split(r"(\d+)", text):
            words += [part] if part.isdecimal() else super().words(part)
        return words


class NoContractions(RightTokenizer):
    def contractions(self) -> tuple[str, ...]:
        return ()


class SplitsAtBlanks(RightTokenizer):
    def kind(self, c: str) -> str:
        return "space" if self.is_space(c) else "letter"

    def contractions(self) -> tuple[str, ...]:
        return ()


class LooksCharactersUp(RightTokenizer):
    def symbols(self, word: str) -> list[str]:
        return [*word[:-1], word[-1] + "</w>"]


class DropsOthers(RightTokenizer):
    def compose(self, text: str) -> str:
        return super().compose(text).encode("ascii", "ignore").decode()


class AsciiLetters(RightTokenizer):
    def kind(self, c: str) -> str:
        found = super().kind(c)
        return "symbol" if found in ("letter", "number") and not c.isascii() else found


class NoSpecials(RightTokenizer):
    def body(self, text: str) -> list[int]:
        return [i for word in self.words(self.clean(text)) for i in self.ids(word)]


WRONG_TOKENIZERS: dict[type[RightTokenizer], str] = {
    NoStart: "start_token_missing",
    NoEnd: "end_token_missing",
    PadsWithZero: "padded_with_another_id",
    PadsTo64: "padded_to_another_length",
    CutsOneEarly: "truncated_elsewhere",
    LosesTheEnd: "end_token_cut_off",
    KeepsCapitals: "not_lowercased",
    KnowsAsciiBlanksAlone: "white_space_kept",
    TakesPythonsBlanks: "control_characters_are_blanks",
    NotComposed: "not_normalised",
    Compatible: "not_normalised",
    StripsAccents: "accents_stripped",
    FinalSigma: "lowercased_otherwise",
    Unescapes: "html_unescaped",
    MergesFromTheLeft: "merges_in_the_wrong_order",
    NoEndOfWord: "end_of_word_missing",
    JoinsDigits: "numbers_not_split",
    NoContractions: "contractions_not_split",
    SplitsAtBlanks: "not_split_at_punctuation",
    LooksCharactersUp: "bytes_not_encoded",
    DropsOthers: "bytes_not_encoded",
    AsciiLetters: "only_ascii_letters",
    NoSpecials: "special_tokens_not_recognised",
}

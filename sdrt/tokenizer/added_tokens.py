"""Tokens that are found in a prompt as they are written, before byte-pair encoding: ``<|endoftext|>``, a textual inversion's ``<cat>``."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdrt.tokenizer.normalize import normalize

__all__ = ["AddedToken", "AddedTokens"]


@dataclass(frozen=True)
class AddedToken:
    """One of them, as Hugging Face's files describe it.

    Parameters
    ----------
    content : str, not empty
    special : bool
        Whether decoding leaves it out.
    normalized : bool
        Whether it is found in the cleaned prompt (so in any case of letters) or only in the prompt as it was typed.
    lstrip, rstrip : bool
        Whether it takes white space before or after it with it. White space gives no token anyway: nothing depends on them here.
    """

    content: str
    special: bool = True
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False

    @property
    def found_as(self) -> str:
        """The text that is looked for."""
        return normalize(self.content) if self.normalized else self.content


class AddedTokens:
    """Finds added tokens in text: the leftmost first, the longest of those that start there.

    Parameters
    ----------
    tokens : sequence of (AddedToken, int)
        With their ids.
    """

    def __init__(self, tokens: Sequence[tuple[AddedToken, int]]) -> None:
        self._ids = tuple({t.found_as: i for t, i in tokens if t.normalized is cleaned} for cleaned in (False, True))
        self._patterns = tuple(_pattern(list(ids)) for ids in self._ids)

    @property
    def in_cleaned_text(self) -> bool:
        """Whether any is looked for in the cleaned prompt."""
        return bool(self._ids[True])

    def split(self, text: str, *, cleaned: bool) -> Iterator[str | int]:
        """The text between added tokens, as str, and their ids; ``cleaned`` says which of them to look for."""
        pattern, ids = self._patterns[cleaned], self._ids[cleaned]
        if pattern is None:
            yield text
            return
        start = 0
        for match in pattern.finditer(text):
            if start < match.start():
                yield text[start : match.start()]
            yield ids[match[0]]
            start = match.end()
        if start < len(text):
            yield text[start:]


def _pattern(contents: list[str]) -> re.Pattern[str] | None:
    longest_first = sorted(filter(None, contents), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

"""Tokens that are matched literally in a prompt before byte-pair encoding: ``<|endoftext|>``, or a textual inversion's ``<cat>``."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdrt.tokenizer.normalize import normalize

__all__ = ["AddedToken", "AddedTokens"]


@dataclass(frozen=True)
class AddedToken:
    """One added token, as Hugging Face's files describe it.

    Parameters
    ----------
    content : str, not empty
    special : bool
        Whether decoding omits it.
    normalized : bool
        Whether it is matched in the cleaned prompt (and so in any letter case) rather than in the prompt as typed.
    lstrip, rstrip : bool
        Whether the match includes white space before or after it. White space never becomes a token, so these have no effect here.
    """

    content: str
    special: bool = True
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False

    @property
    def matched_as(self) -> str:
        """The text to search for."""
        return normalize(self.content) if self.normalized else self.content


class AddedTokens:
    """Find added tokens in text: the leftmost match first, and the longest of those that start there.

    Parameters
    ----------
    tokens : sequence of (AddedToken, int)
        The tokens with their ids.
    """

    def __init__(self, tokens: Sequence[tuple[AddedToken, int]]) -> None:
        self._ids = tuple({t.matched_as: i for t, i in tokens if t.normalized is cleaned} for cleaned in (False, True))
        self._patterns = tuple(_pattern(list(ids)) for ids in self._ids)

    @property
    def in_cleaned_text(self) -> bool:
        """Whether any token is matched in the cleaned prompt."""
        return bool(self._ids[True])

    def split(self, text: str, *, cleaned: bool) -> Iterator[str | int]:
        """Yield the text between added tokens, as str, and the ids of the tokens; ``cleaned`` selects which tokens to match."""
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

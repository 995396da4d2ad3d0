"""Split text into what a reader takes for one character: extended grapheme clusters, the ``Character`` of Swift.

Source: Unicode Standard Annex #29, section 3.1.1, without its rules for archaic Hangul, Indic conjuncts and the few prepended marks. The
categories are those of this Python's ``unicodedata``.
"""

import unicodedata

__all__ = ["graphemes"]

_JOINER = "\u200d"
_EXTENDING = frozenset("\u200c\u200d\uff9e\uff9f") | {chr(c) for c in (*range(0x1F3FB, 0x1F400), *range(0xE0020, 0xE0080))}
_CONTROLS = ("Cc", "Cf", "Zl", "Zp")


def graphemes(text: str) -> list[str]:
    r"""Split a text into extended grapheme clusters.

    >>> [len(each) for each in graphemes("e\u0301 \U0001f1eb\U0001f1f7!")]
    [2, 1, 2, 1]
    """
    if text.isascii() and "\r\n" not in text:
        return list(text)
    starts = [0] if text else []
    flags = 0  # regional indicators in a row that end at the last character
    for i in range(1, len(text)):
        flags = flags + 1 if _is_flag(text[i - 1]) else 0
        if not _joins(text[i - 1], text[i], text[starts[-1]], flags):
            starts.append(i)
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _joins(before: str, c: str, first: str, flags: int) -> bool:
    """Whether a character continues the cluster that begins with ``first`` and goes up to ``before``."""
    if before == "\r" and c == "\n":
        return True
    if before not in _EXTENDING and unicodedata.category(before) in _CONTROLS:
        return False
    if c in _EXTENDING or unicodedata.category(c) in ("Mn", "Me", "Mc"):
        return True
    if before == _JOINER and unicodedata.category(c) == "So":
        return unicodedata.category(first) == "So"
    # two letters make a flag
    return _is_flag(c) and flags % 2 == 1


def _is_flag(c: str) -> bool:
    return "\U0001f1e6" <= c <= "\U0001f1ff"

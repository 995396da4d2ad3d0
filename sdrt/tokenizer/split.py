r"""CLIP's split of a cleaned prompt into words.

CLIP's pattern is ``<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+``. Python's ``re``
knows no ``\p{L}``, so a text beyond ASCII is first drawn as its *shape*, of the same length (see `UnicodeTables`), and the pattern
runs over that: ``z`` and ``!`` stand in no contraction and in no marker, so a shape never looks like one that its text is not.
"""

import re

from sdrt.tokenizer.unicode_tables import unicode_tables

__all__ = ["MARKER_PARTS", "words"]

_WORD = re.compile(r"[a-z]+|[0-9]|'(?:s|t|re|ve|m|ll|d)|<\|(?:start|end)oftext\|>|[^\t-\r a-z0-9]+")

# The pattern finds a marker whole; then the reference's byte-level stage splits it by GPT-2's pattern. It matters only for a marker that is
# plain text: one in capitals, or in a vocabulary whose special tokens have other names.
MARKER_PARTS = {f"<|{name}|>": ("<|", name, "|>") for name in ("startoftext", "endoftext")}


def words(text: str) -> list[str]:
    """Split a cleaned prompt.

    Parameters
    ----------
    text : str
        As `sdrt.tokenizer.normalize.normalize` returns it. White space need not be collapsed.

    >>> words("it's a café, 12 euros!")
    ['it', "'s", 'a', 'café', ',', '1', '2', 'euros', '!']
    """
    if text.isascii():
        return _WORD.findall(text)
    shape = text.translate(unicode_tables().shapes)
    return [text[match.start() : match.end()] for match in _WORD.finditer(shape)]

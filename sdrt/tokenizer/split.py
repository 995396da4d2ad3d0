r"""Split a cleaned prompt into words, as CLIP does.

CLIP's pattern is ``<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+``. Python's ``re``
does not support ``\p{L}``, so a text beyond ASCII is first translated to its *shape*, of the same length (see `UnicodeTables`), and the
pattern runs over that. The letters of a shape, ``z`` and ``!``, occur in no contraction or marker, so a shape never matches one by mistake.
"""

import re

from sdrt.tokenizer.unicode_tables import unicode_tables

__all__ = ["MARKER_PARTS", "words"]

_WORD = re.compile(r"[a-z]+|[0-9]|'(?:s|t|re|ve|m|ll|d)|<\|(?:start|end)oftext\|>|[^\t-\r a-z0-9]+")

# The pattern matches a marker as a whole; the reference's byte-level stage then splits it by GPT-2's pattern. This matters only for a
# marker that is plain text: one in capitals, or in a vocabulary whose special tokens have other names.
MARKER_PARTS = {f"<|{name}|>": ("<|", name, "|>") for name in ("startoftext", "endoftext")}


def words(text: str) -> list[str]:
    """Split a cleaned prompt into words.

    Parameters
    ----------
    text : str
        The result of `sdrt.tokenizer.normalize.normalize`. White space need not be collapsed.

    >>> words("it's a café, 12 euros!")
    ['it', "'s", 'a', 'café', ',', '1', '2', 'euros', '!']
    """
    if text.isascii():
        return _WORD.findall(text)
    shape = text.translate(unicode_tables().shapes)
    return [text[match.start() : match.end()] for match in _WORD.finditer(shape)]

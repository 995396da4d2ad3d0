"""Clean a prompt as CLIP does: NFC, white space collapsed to one blank, lower case; in this order, character by character.

As in the reference, HTML entities are not decoded, accents not stripped, and there is no final sigma (each capital sigma becomes σ).
"""

import re
from functools import cache

from sdrt.tokenizer.unicode_tables import unicode_tables

__all__ = ["WHITE_SPACE", "collapse_space", "lowercase", "nfc", "normalize"]

# White_Space, unchanged in Unicode since 6.3. Python's own \s also matches U+001C to U+001F, which CLIP treats as symbols.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_SPACE = re.compile(f"[{WHITE_SPACE}]+")

# The Unicode Standard, section 3.12: Hangul syllables are composed by arithmetic.
_L, _V, _T, _S = 0x1100, 0x1161, 0x11A7, 0xAC00
_L_COUNT, _V_COUNT, _T_COUNT = 19, 21, 28
_S_COUNT = _L_COUNT * _V_COUNT * _T_COUNT


def normalize(text: str) -> str:
    r"""Clean a prompt as CLIP's tokenizer does before it splits it into words.

    >>> normalize("Cafe\u0301  au\tLAIT")
    'café au lait'
    """
    return lowercase(collapse_space(nfc(text)))


def collapse_space(text: str) -> str:
    """Replace each run of white space by one blank."""
    return _SPACE.sub(" ", text)


def lowercase(text: str) -> str:
    """Lower-case each character on its own.

    >>> lowercase("ΟΔΟΣ"), "ΟΔΟΣ".lower()
    ('οδοσ', 'οδος')
    """
    return text.lower() if text.isascii() else text.translate(unicode_tables().lowercase)


def nfc(text: str) -> str:
    r"""Compose a text canonically (The Unicode Standard, section 3.11), as of Unicode 9.0.

    >>> nfc("e\u0301"), nfc("\u1112\u1161\u11ab")
    ('é', '한')
    """
    if text.isascii() or _unstable().isdisjoint(text):
        return text
    return _compose(_decompose(text))


@cache
def _unstable() -> frozenset[str]:
    """Return the characters that NFC may change: a text without them is already in NFC."""
    tables = unicode_tables()
    composed = set(tables.compositions.values())
    return frozenset(
        tables.combining_classes.keys()
        | {c for c in tables.decompositions if c not in composed}
        | {pair[1] for pair in tables.compositions}
        | {chr(_V + i) for i in range(_V_COUNT)}
        | {chr(_T + i) for i in range(1, _T_COUNT)}
    )


def _decompose(text: str) -> list[str]:
    """Decompose fully, then sort each run of combining marks stably by class."""
    decompositions, classes = unicode_tables().decompositions, unicode_tables().combining_classes
    whole: list[str] = []
    for c in text:
        index = ord(c) - _S
        if 0 <= index < _S_COUNT:
            whole += chr(_L + index // (_V_COUNT * _T_COUNT)), chr(_V + index % (_V_COUNT * _T_COUNT) // _T_COUNT)
            if index % _T_COUNT:
                whole.append(chr(_T + index % _T_COUNT))
        else:
            whole += decompositions.get(c, c)
    start = 0
    while start < len(whole):
        stop = start
        while stop < len(whole) and whole[stop] in classes:
            stop += 1
        if stop - start > 1:
            whole[start:stop] = sorted(whole[start:stop], key=classes.__getitem__)
        start = stop + 1
    return whole


def _compose(decomposed: list[str]) -> str:
    """Join each character with the last starter before it, unless a character between them blocks it."""
    classes = unicode_tables().combining_classes
    out: list[str] = []
    starter = -1
    last_class = 0
    for c in decomposed:
        combining_class = classes.get(c, 0)
        if starter >= 0 and (last_class == 0 or last_class < combining_class) and (joined := _pair(out[starter], c)):
            out[starter] = joined
            continue
        if combining_class == 0:
            starter = len(out)
        last_class = combining_class
        out.append(c)
    return "".join(out)


def _pair(a: str, b: str) -> str | None:
    """Return the primary composite of two characters, or None if there is none."""
    first, second = ord(a), ord(b)
    if 0 <= first - _L < _L_COUNT and 0 <= second - _V < _V_COUNT:
        return chr(_S + ((first - _L) * _V_COUNT + second - _V) * _T_COUNT)
    if 0 <= first - _S < _S_COUNT and (first - _S) % _T_COUNT == 0 and 0 < second - _T < _T_COUNT:
        return chr(first + second - _T)
    return unicode_tables().compositions.get(a + b)

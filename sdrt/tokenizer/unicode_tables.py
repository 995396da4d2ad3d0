"""What CLIP's tokenizer knows about Unicode, frozen: Python's own ``unicodedata`` differs from one Python to the next.

The reference is the pipeline that transformers runs (Rust ``tokenizers`` 0.23.3), and it mixes three ages of Unicode: letters and numbers
are those of 16.0, lower case is that of 17.0, and NFC is that of 9.0. Prompts must give the same ids here, so ``unicode.bin`` holds what
that pipeline does with each of the 1,112,064 characters. ``tests/tokenizer/generate_unicode_tables.py`` made it, and says how it is
laid out.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["UnicodeTables", "unicode_tables"]


@dataclass(frozen=True)
class UnicodeTables:
    r"""Frozen tables, read once and never changed.

    Parameters
    ----------
    source : str
        The peer whose behaviour this is.
    versions : mapping of str
        The age of Unicode of each table: ``"categories"``, ``"lowercase"``, ``"nfc"``.
    shapes : str of 1,114,112 characters
        At each code point a letter that stands for its kind: an ASCII character for itself, ``z`` for any other letter (``\p{L}``), ``0``
        for any other number (``\p{N}``), a blank for white space and ``!`` for all else.
    lowercase : mapping from code point to str
        Characters that change, and all below U+0250 (``str.translate`` is several times faster for a key that it finds).
    decompositions : mapping from character to str
        Full canonical decompositions, Hangul syllables left out.
    compositions : mapping from str of two characters to character
        Primary composites, Hangul left out.
    combining_classes : mapping from character to int
        Canonical combining classes above 0.
    """

    source: str
    versions: Mapping[str, str]
    shapes: str
    lowercase: Mapping[int, str]
    decompositions: Mapping[str, str]
    compositions: Mapping[str, str]
    combining_classes: Mapping[str, int]


@cache
def unicode_tables() -> UnicodeTables:
    """Read the tables, on first use.

    >>> sorted(unicode_tables().versions.items())
    [('categories', '16.0'), ('lowercase', '17.0'), ('nfc', '9.0')]
    """
    packed = Path(__file__).with_name("unicode.bin").read_bytes()
    header, _, shapes = zlib.decompress(packed).partition(b"\n")
    tables = json.loads(header)
    return UnicodeTables(
        source=tables["source"],
        versions=tables["versions"],
        shapes=shapes.decode("ascii"),
        lowercase={c: chr(c) for c in range(0x250)} | {ord(upper): lower for upper, lower in tables["lowercase"].items()},
        decompositions=tables["decompositions"],
        compositions=tables["compositions"],
        combining_classes={mark: int(order) for order, marks in tables["combining_classes"].items() for mark in marks},
    )

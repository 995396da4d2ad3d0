"""The Unicode data that CLIP's tokenizer relies on, frozen: Python's own ``unicodedata`` changes between Python versions.

The reference is the pipeline that transformers runs (Rust ``tokenizers`` 0.23.3), which mixes three versions of Unicode: letters and
numbers of 16.0, lower case of 17.0, and NFC of 9.0. Prompts must get the same ids here, so ``unicode.bin`` records how that pipeline treats
each of the 1,112,064 characters. ``tests/tokenizer/generate_unicode_tables.py`` made it and documents its layout.
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
        The implementation whose behaviour was recorded.
    versions : mapping of str
        The Unicode version of each table: ``"categories"``, ``"lowercase"``, ``"nfc"``.
    shapes : str of 1,114,112 characters
        For each code point a character that represents its kind: an ASCII character represents itself, ``z`` any other letter (``\p{L}``),
        ``0`` any other number (``\p{N}``), a blank white space, and ``!`` everything else.
    lowercase : mapping from code point to str
        Characters that change, and all those below U+0250 (``str.translate`` is several times faster for keys that exist).
    decompositions : mapping from character to str
        Full canonical decompositions, without Hangul syllables.
    compositions : mapping from str of two characters to character
        Primary composites, without Hangul.
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
    """Read the tables, once.

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

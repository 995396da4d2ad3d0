"""Make ``sdrt/tokenizer/unicode.bin``: query Rust ``tokenizers`` about every character, and record its behaviour.

    python -m tests.tokenizer.generate_unicode_tables

Layout: one zlib stream with a line of JSON (UTF-8), then 1,114,112 ASCII bytes, one per code point: a character for its kind.
The line holds the source, the Unicode version of each table, lower case, canonical decompositions and compositions (without Hangul), and
the marks of each combining class. The command prints the SHA-256 of the unpacked content; the packed bytes also depend on the zlib version.
"""

import json
import unicodedata
import zlib
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from tokenizers import Regex, normalizers

TABLES = Path(__file__).parents[2] / "sdrt" / "tokenizer" / "unicode.bin"
CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)

# A character new in each version of Unicode, by the property that reveals it.
LETTERS_SINCE = {"13.0": "\u08be", "14.0": "\u0870", "15.0": "\U0001e4d0", "15.1": "\U0002ebf0", "16.0": "\u1c89", "17.0": "\U000323b0"}
CAPITALS_SINCE = {"13.0": "\ua7c7", "14.0": "\u2c2f", "16.0": "\u1c89", "17.0": "\U00016ea0"}
MARKS_SINCE = {"8.0": "\u08e3", "9.0": "\u08d4", "10.0": "\u1df6", "11.0": "\u08d3", "12.0": "\u0eba"}


def matching(pattern: str) -> set[str]:
    """Return the characters that match a regular expression of one character, in the dialect of the tokenizer's pattern."""
    text = normalizers.Replace(Regex(pattern), "").normalize_str("".join(CHARACTERS))
    return set(CHARACTERS) - set(text)


def shapes(letters: set[str], numbers: set[str], spaces: set[str]) -> str:
    """Return the kind of each code point; surrogates, which are not characters, count as symbols."""

    def shape(c: str) -> str:
        return c if c.isascii() else "z" if c in letters else "0" if c in numbers else " " if c in spaces else "!"

    return "".join(shape(chr(c)) for c in range(0x110000))


def changes(normalizer: normalizers.Normalizer) -> dict[str, str]:
    """Return the result of a normalizer for each character that it changes."""
    return {c: changed for c in CHARACTERS if (changed := normalizer.normalize_str(c)) != c}


def compositions(decompositions: dict[str, str]) -> dict[str, str]:
    """Return the pairs of characters that NFC joins: each composite splits into its last mark and the NFC of the rest."""
    nfc = normalizers.NFC().normalize_str
    pairs = {nfc(parts[:-1]) + parts[-1]: c for c, parts in decompositions.items() if nfc(c) == c and nfc(parts) == c}
    assert all(len(pair) == 2 for pair in pairs)
    return pairs


def combining_classes() -> dict[int, str]:
    """Return the marks of each combining class: a mark belongs to the class of those it never changes places with.

    Python's own tables provide one mark for each class, as a probe; everything else comes from the peer.
    """
    nfd = normalizers.NFD().normalize_str

    def swaps(text: str) -> bool:
        return nfd(text) != text

    lowest, highest = "\u0334", "\u0345"  # classes 1 and 240, the extremes
    still = [c for c in CHARACTERS if not swaps(c)]
    marks_of_peer = [c for c in still if swaps(highest + c) or swaps(c + lowest)]
    lent: dict[int, str] = {}
    for c in marks_of_peer:
        lent.setdefault(unicodedata.combining(c), c)
    marks: dict[int, str] = {}
    for c in marks_of_peer:
        (k,) = (k for k, mark in lent.items() if not swaps(mark + c) and not swaps(c + mark))
        marks[k] = marks.get(k, "") + c
    return marks


def latest(passing: dict[str, bool]) -> str:
    """Return the last version whose character passes; a later one must not pass if an earlier one fails."""
    versions = [name for name, passes in passing.items() if passes]
    assert list(passing)[: len(versions)] == versions
    return versions[-1]


def tables() -> bytes:
    """Return the file's content, before packing."""
    letters, numbers, spaces = matching(r"\p{L}"), matching(r"\p{N}"), matching(r"\s")
    lowercase = changes(normalizers.Lowercase())
    decompositions = {c: parts for c, parts in changes(normalizers.NFD()).items() if ord(c) not in HANGUL_SYLLABLES}
    classes = combining_classes()
    marks = "".join(classes.values())
    header = {
        "source": f"tokenizers {version('tokenizers')}",
        "versions": {
            "categories": latest({name: c in letters for name, c in LETTERS_SINCE.items()}),
            "lowercase": latest({name: c in lowercase for name, c in CAPITALS_SINCE.items()}),
            "nfc": latest({name: c in marks for name, c in MARKS_SINCE.items()}),
        },
        "lowercase": lowercase,
        "decompositions": decompositions,
        "compositions": compositions(decompositions),
        "combining_classes": {str(k): classes[k] for k in sorted(classes)},
    }
    return json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" + shapes(letters, numbers, spaces).encode()


def main() -> None:
    content = tables()
    packed = zlib.compress(content, 9)
    TABLES.write_bytes(packed)
    print(f"{len(content):,} bytes, sha256 {sha256(content).hexdigest()}, packed in {len(packed):,} bytes: {TABLES}")  # noqa: T201


if __name__ == "__main__":
    main()

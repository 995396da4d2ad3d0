"""The texts of a picture as EXIF, which JPEG and WebP carry: read and written without Pillow, within the bytes that are there.

``parameters`` is the user comment, where AUTOMATIC1111's web UI writes it and other tools look for it; ``sdrt`` is the image's description,
behind that word. Entries of any other kind are neither read nor followed, so that a hostile block costs no more than its own length.

Source: CIPA DC-008 (Exif 2.32), sections 4.6.2 to 4.6.5; stable-diffusion-webui 1.10.1 ``modules/images.py::save_image_with_geninfo``.
"""

import struct
from collections.abc import Mapping
from typing import Literal

from sdrt.errors import ImageError

__all__ = ["EXIF_KEYS", "EXIF_MARK", "from_exif", "to_exif"]

# How the block begins in a JPEG, and to Pillow.
EXIF_MARK = b"Exif\0\0"

# The texts that a block can hold.
EXIF_KEYS = ("parameters", "sdrt")

_DESCRIPTION, _POINTER, _COMMENT = 0x010E, 0x8769, 0x9286
_ASCII, _LONG, _UNDEFINED = 2, 4, 7
# Before the user comment: how its characters are written.
_UNICODE, _PLAIN = b"UNICODE\0", b"ASCII\0\0\0"
_OURS = b"sdrt:"


def to_exif(text: Mapping[str, str]) -> bytes:
    """Return a block with these texts, ``EXIF_MARK`` first; as AUTOMATIC1111 writes it, big-endian.

    Raises
    ------
    ImageError : a text under another key than `EXIF_KEYS`
    """
    if unknown := sorted(text.keys() - set(EXIF_KEYS)):
        raise ImageError(f"a text in JPEG or WebP must be {' or '.join(EXIF_KEYS)}, got {', '.join(unknown)}; write PNG, which holds any")
    description = _OURS + text["sdrt"].encode() + b"\0" if "sdrt" in text else b""
    comment = _UNICODE + text["parameters"].encode("utf-16-be") if "parameters" in text else b""
    # the header, then a directory with one or two entries, what they hold, and the directory of the comment
    count = bool(description) + bool(comment)
    at = 8 + 2 + 12 * count + 4
    entries = [struct.pack(">HHLL", _DESCRIPTION, _ASCII, len(description), at)] if description else []
    body = description + b"\0" * (len(description) % 2)
    if comment:
        inner = at + len(body)
        entries.append(struct.pack(">HHLL", _POINTER, _LONG, 1, inner))
        body += struct.pack(">HHHLLL", 1, _COMMENT, _UNDEFINED, len(comment), inner + 2 + 12 + 4, 0) + comment
    return EXIF_MARK + struct.pack(">2sHLH", b"MM", 42, 8, count) + b"".join(entries) + bytes(4) + body


def from_exif(block: bytes) -> dict[str, str]:
    """Return the texts of a block without its `EXIF_MARK`; those of other tools and cameras that are not among `EXIF_KEYS` are left out.

    Raises
    ------
    ValueError : the block is damaged
    """
    order: Literal["<", ">"] = "<" if block[:2] == b"II" else ">"
    if block[:4] not in (b"II*\0", b"MM\0*"):
        raise ValueError("no header")
    first = _number(block, 4, order)
    description, pointer = (_entry(block, order, first, tag) for tag in (_DESCRIPTION, _POINTER))
    text: dict[str, str] = {}
    if description is not None and description.startswith(_OURS):
        text["sdrt"] = description[len(_OURS) :].removesuffix(b"\0").decode("utf-8", "backslashreplace")
    comment = None if pointer is None else _entry(block, order, _number(pointer, 0, order), _COMMENT)
    if comment is not None:
        text["parameters"] = _comment(comment, order)
    return text


def _entry(block: bytes, order: str, at: int, wanted: int) -> bytes | None:
    """Return what the first entry of a directory under this tag holds; None if there is none."""
    count = _number(block, at, order, 2)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        if _number(block, place, order, 2) != wanted:
            continue
        kind, length = _number(block, place + 2, order, 2), _number(block, place + 4, order)
        size = length * 4 if kind == _LONG else length
        start = place + 8 if size <= 4 else _number(block, place + 8, order)
        if start + size > len(block):
            raise ValueError("an entry beyond the end")
        return block[start : start + size]
    return None


def _number(block: bytes, at: int, order: str, size: int = 4) -> int:
    if at + size > len(block):
        raise ValueError("cut off")
    return int.from_bytes(block[at : at + size], "big" if order == ">" else "little")


def _comment(value: bytes, order: str) -> str:
    """Return a user comment as text; of two byte orders, tools write either, whatever that of the block is."""
    code, content = value[:8], value[8:]
    if code == _UNICODE:
        # Latin letters leave one byte of two empty
        first, second = content[::2].count(0), content[1::2].count(0)
        big = order == ">" if first == second else first > second
        return content.decode("utf-16-be" if big else "utf-16-le", "backslashreplace").removeprefix("\ufeff")
    return (content if code in (_PLAIN, bytes(8)) else value).rstrip(b"\0").decode("utf-8", "backslashreplace")

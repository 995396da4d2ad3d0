"""The chunks of a PNG: walking them, and the text inside them, without decoding a pixel.

Pillow refuses a file with a text or colour profile above 1 MB, a limit that only global state raises. Node editors write such texts.
Source: Portable Network Graphics (PNG) Specification, third edition, sections 5 and 11.3.3.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sdrt.errors import ImageError
from sdrt.limits import Limits

__all__ = ["SIGNATURE", "Chunk", "chunk_text", "chunks", "inflate"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Chunk:
    """Where a chunk lies in its file.

    Parameters
    ----------
    kind : bytes of 4
    start : int
        Of its data; 8 bytes of length and kind stand before it, 4 of checksum after it.
    length : int
        Of its data.
    """

    kind: bytes
    start: int
    length: int


def chunks(path: Path, stream: BinaryIO, size: int) -> Iterator[Chunk]:
    """Yield the chunks of a PNG in order, behind its signature, reading their heads alone; the last is ``IEND``.

    Parameters
    ----------
    path : Path
        For messages.
    stream : binary stream
        Its position moves.
    size : int
        Of the file, in bytes.

    Raises
    ------
    ImageError : it is cut off
    """
    place, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        stream.seek(place)
        head = stream.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or place + length + 12 > size:
            raise ImageError(f"{path}: cannot be read (cut off after {size} bytes); pass a whole PNG file")
        yield Chunk(kind, place + 8, length)
        place += length + 12


def chunk_text(path: Path, stream: BinaryIO, size: int, limits: Limits) -> dict[str, str]:
    """Return the text chunks of a PNG; of two with one key, the last.

    Parameters
    ----------
    path, stream, size
        As of `chunks`.
    limits : Limits
        ``json_bytes`` bounds all text together.

    Raises
    ------
    ImageError : the file is damaged; more text than the limit
    """
    text: dict[str, str] = {}
    left = limits.json_bytes
    for chunk in chunks(path, stream, size):
        if chunk.kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        if chunk.length > left:
            raise _too_much(path, limits)
        stream.seek(chunk.start)
        data, checksum = stream.read(chunk.length), stream.read(4)
        if zlib.crc32(data, zlib.crc32(chunk.kind)).to_bytes(4, "big") != checksum:
            raise _damaged(path, "a wrong checksum of a text")
        key, value = _decode(path, chunk.kind, data, left, limits)
        left -= len(value)
        text[key] = value
    return text


def inflate(data: bytes, most: int) -> bytes | None:
    """Return data decompressed, or None where that would be more than so many bytes.

    Raises
    ------
    zlib.error : it is no zlib stream, or is cut off
    """
    stream = zlib.decompressobj()
    content = stream.decompress(data, most + 1)
    if len(content) > most:
        return None
    if not stream.eof:
        raise zlib.error("cut off")
    return content


def _decode(path: Path, kind: bytes, data: bytes, most: int, limits: Limits) -> tuple[str, str]:
    key, separator, value = data.partition(b"\0")
    if not separator:
        raise _damaged(path, "a text without a key")
    compressed, encoding = kind == b"zTXt", "latin-1"
    if kind == b"iTXt":
        # flag, method, language, translated key, text
        encoding, compressed = "utf-8", value[:1] == b"\1"
        fields = value[2:].split(b"\0", 2)
        if len(fields) < 3:
            raise _damaged(path, "a text without its language")
        value = fields[2]
    elif compressed:
        value = value[1:]  # the method, of which there is one
    if compressed:
        try:
            inflated = inflate(value, most)
        except zlib.error as error:
            raise _damaged(path, "a text that cannot be decompressed") from error
        if inflated is None:
            raise _too_much(path, limits)
        value = inflated
    # other tools write other encodings, and what they wrote is to be seen
    return key.decode("latin-1"), value.decode(encoding, "backslashreplace")


def _damaged(path: Path, what: str) -> ImageError:
    return ImageError(f"{path}: cannot be read ({what}); pass a whole PNG file")


def _too_much(path: Path, limits: Limits) -> ImageError:
    return ImageError(f"{path}: must hold at most {limits.json_bytes} bytes of text, got more; raise it with sdrt.Limits(json_bytes=...)")

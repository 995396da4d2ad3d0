"""The texts inside a picture's file: chunks of a PNG, or the EXIF of a JPEG or WebP; no pixel is decoded."""

from pathlib import Path
from typing import BinaryIO

from sdrt.errors import ImageError
from sdrt.images.chunks import SIGNATURE, chunk_text
from sdrt.images.exif import EXIF_MARK, from_exif
from sdrt.images.source import opened
from sdrt.limits import DEFAULT_LIMITS, Limits

__all__ = ["read_text"]

_JPEG, _RIFF = b"\xff\xd8", b"RIFF"

# How files of other kinds begin, for a message.
_OTHERS = {b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"RIFF": "another kind of file"}

# Segments of a JPEG without a length: padding, restarts and the begin; and those behind which pixels come.
_BARE = (0x01, *range(0xD0, 0xD9))
_PIXELS = (0xD9, 0xDA)


def read_text(file: str | Path, limits: Limits = DEFAULT_LIMITS) -> dict[str, str]:
    """Return the texts of a PNG; of a JPEG or WebP those that sdrt and AUTOMATIC1111 write: ``parameters`` and ``sdrt``.

    Parameters
    ----------
    file : Path
    limits : Limits
        ``json_bytes`` bounds all text together.

    Raises
    ------
    ImageError : the file is missing, is none of these, or is damaged; more text than the limit
    """
    with opened(file, limits) as (path, stream, size):
        begins = stream.read(12)
        if begins.startswith(SIGNATURE):
            return chunk_text(path, stream, size, limits)
        if begins.startswith(_JPEG):
            block = _of_jpeg(path, stream)
        elif begins.startswith(_RIFF) and begins[8:] == b"WEBP":
            block = _of_webp(path, stream, size, limits)
        else:
            found = next((name for magic, name in _OTHERS.items() if begins.startswith(magic)), "another kind of file")
            raise ImageError(f"{path}: must be a PNG, JPEG or WebP, got {found}; sdrt writes its settings into those alone")
    try:
        return {} if block is None else from_exif(block.removeprefix(EXIF_MARK))
    except ValueError as error:
        raise ImageError(f"{path}: cannot be read (its EXIF is damaged: {error}); pass a whole file") from error


def _of_jpeg(path: Path, stream: BinaryIO) -> bytes | None:
    """Return the first EXIF block of a JPEG, which its format bounds to 64 KiB; None if it has none."""
    place = len(_JPEG)
    while True:
        stream.seek(place)
        head = stream.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            raise ImageError(f"{path}: cannot be read (cut off, or no JPEG); pass a whole file")
        if head[1] == 0xFF or head[1] in _BARE:
            place += 1 if head[1] == 0xFF else 2
            continue
        if head[1] in _PIXELS:
            return None
        length = int.from_bytes(head[2:], "big")
        if head[1] == 0xE1 and length >= 2 + len(EXIF_MARK):
            content = stream.read(length - 2)
            if content.startswith(EXIF_MARK):
                return content
        place += 2 + max(length, 2)


def _of_webp(path: Path, stream: BinaryIO, size: int, limits: Limits) -> bytes | None:
    """Return the EXIF chunk of a WebP; None if it has none."""
    place = 12
    while place + 8 <= size:
        stream.seek(place)
        head = stream.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"EXIF":
            limits.check("json_bytes", f"{path}: the bytes of its EXIF", length, ImageError)
            content = stream.read(length)
            if len(content) < length:
                raise ImageError(f"{path}: cannot be read (cut off after {size} bytes); pass a whole file")
            return content
        place += 8 + length + length % 2
    return None

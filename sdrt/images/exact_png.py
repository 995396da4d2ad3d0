"""PNG files whose bytes are the same everywhere: with filters and compression of our own in place of Pillow's and its zlib's.

Source: the PNG specification, third edition (W3C 2025), sections 5, 9 and 11. Texts stand in the chunks that Pillow writes them to.
"""

import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sdrt.arrays import U8
from sdrt.errors import ImageError
from sdrt.images.deflate import deflate

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["exact_png"]

I16 = npt.NDArray[np.int16]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}


def exact_png(image: "Image", text: Mapping[str, str]) -> bytes:
    """Encode a picture of mode L, LA, RGB or RGBA with its texts.

    Raises
    ------
    ImageError : another mode
    """
    if image.mode not in _COLOUR_TYPES:
        raise ImageError(f"image must be of mode {', '.join(_COLOUR_TYPES)} for an exact PNG, got {image.mode}; convert it to RGB first")
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    head = image.width.to_bytes(4, "big") + image.height.to_bytes(4, "big") + bytes([8, _COLOUR_TYPES[image.mode], 0, 0, 0])
    body = deflate(_filtered(pixels).reshape(-1))
    chunks = [_chunk(b"IHDR", head), *_texts(text), _chunk(b"IDAT", body), _chunk(b"IEND", b"")]
    return _SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def _texts(text: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the chunk of each text: tEXt where Latin-1 has all its characters, else iTXt."""
    for key, value in text.items():
        try:
            yield _chunk(b"tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1"))
        except UnicodeEncodeError:
            yield _chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + value.encode("utf-8"))


def _filtered(pixels: U8) -> U8:
    """Return each row with the number of its filter before it: u8[H, 1 + W * C].

    Of the five filters each row takes the one whose bytes, read as numbers from -128 to 127, have the smallest sum of magnitudes (section
    12.8); of equal ones the first.
    """
    height = len(pixels)
    wide = np.pad(pixels.astype(np.int16), ((1, 0), (1, 0), (0, 0)))
    here, left, up, corner = wide[1:, 1:], wide[1:, :-1], wide[:-1, 1:], wide[:-1, :-1]
    candidates = [here, here - left, here - up, here - ((left + up) >> 1), here - _paeth(left, up, corner)]
    rows = np.stack([candidate.astype(np.uint8).reshape(height, -1) for candidate in candidates])
    sizes = np.abs(rows.view(np.int8).astype(np.int64)).sum(axis=2)
    chosen = sizes.argmin(axis=0)
    return np.concatenate([chosen[:, None].astype(np.uint8), rows[chosen, np.arange(height)]], axis=1)


def _paeth(left: I16, up: I16, corner: I16) -> I16:
    """Return the neighbour that is nearest to left + up - corner; of equal ones left goes before up, up before the corner."""
    to_left, to_up, to_corner = np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))

"""Open a picture's file: whole, turned upright, and of a bounded size."""

import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.errors import ImageError
from sdrt.images.chunks import SIGNATURE, Chunk, chunks, inflate
from sdrt.images.source import opened
from sdrt.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["open_picture"]

# The most that Pillow inflates of a text or profile of a PNG, and takes of all its texts, before it refuses the whole picture
# (PngImagePlugin.MAX_TEXT_CHUNK and MAX_TEXT_MEMORY).
_MOST_OF_ONE, _MOST_OF_ALL = 2**20, 2**26

# How PostScript begins, which Pillow would hand to Ghostscript: a picture must start no program.
_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")


def open_picture(file: str | Path, limits: Limits = DEFAULT_LIMITS) -> "Image":
    """Return a picture from a file, read whole and turned as its EXIF orientation says; of an animation the first frame.

    Parameters
    ----------
    file : str or Path
    limits : Limits
        ``pixels`` and ``file_bytes`` count.

    Raises
    ------
    ImageError : the file is missing, may not be read, is no picture, is cut off, or is too large

    Its attribute ``filename`` is the absolute path, which a record may name. Colour profiles are ignored, and colours of 16 bits are read
    as their upper 8, as diffusers does.

    Source: diffusers 0.42.1 ``load_image``, which turns pictures by the same function of Pillow.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    with opened(file, limits) as (path, stream, size):
        data = stream.read()
    if data.startswith(SIGNATURE):
        # Pillow only warns of some sizes
        width, height = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))
        limits.check("pixels", f"{path}: its pixels", width * height, ImageError)
        data = _without_large_texts(data, path, size)
    if data.startswith(_POSTSCRIPT):
        raise ImageError(f"{path}: must be a picture, got PostScript, which is a program; convert it to PNG or JPEG")
    try:
        with Image.open(BytesIO(data)) as image:
            # before the pixels are unpacked
            limits.check("pixels", f"{path}: its pixels", image.width * image.height, ImageError)
            picture = ImageOps.exif_transpose(image)
            # as Pillow's own pictures of files have it
            picture.filename = str(path.absolute())  # type: ignore[attr-defined]
            return picture
    except ImageError:
        raise  # it is an Exception too
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: must be a picture, got another kind of file; convert it to PNG or JPEG") from error
    except Exception as error:  # Pillow's decoders raise whatever damaged bytes lead them to
        raise ImageError(f"{path}: cannot be read as a picture ({error or type(error).__name__}); convert it to PNG or JPEG") from error


def _without_large_texts(data: bytes, path: Path, size: int) -> bytes:
    """Return a PNG without the texts and the colour profile for which Pillow would refuse it; they hold no pixels."""
    spare: list[Chunk] = []
    left = _MOST_OF_ALL
    try:
        for chunk in chunks(path, BytesIO(data), size):
            if chunk.kind in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
                length = _inflated_length(chunk.kind, data[chunk.start : chunk.start + chunk.length])
                left -= 0 if length is None else length
                if length is None or left <= 0:
                    spare.append(chunk)
    except ImageError:
        # cut off: whether enough is left for the pixels is Pillow's to say
        pass
    for chunk in reversed(spare):
        data = data[: chunk.start - 8] + data[chunk.start + chunk.length + 4 :]
    return data


def _inflated_length(kind: bytes, content: bytes) -> int | None:
    """Return how many bytes a chunk's content becomes, or None where that is more than Pillow inflates."""
    _, _, value = content.partition(b"\0")
    if kind == b"tEXt" or (kind == b"iTXt" and value[:1] != b"\1"):
        return len(content)
    packed = value[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else value[1:]
    try:
        inflated = inflate(packed, _MOST_OF_ONE - 1)
    except zlib.error:
        # Pillow leaves such a text out
        return 0
    return None if inflated is None else len(inflated)

"""Convert the decoder's floats to bytes, and write PNG files that carry their settings."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import U8, Float
from sdrt.errors import ImageError
from sdrt.images.chunks import read_text
from sdrt.images.opening import open_picture

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["cannot_write", "open_picture", "read_text", "save_png", "to_bytes", "to_pil", "written_png"]


def to_bytes(image: Float) -> U8:
    """Round decoded pictures to bytes.

    Parameters
    ----------
    image : float[n,3,H,W], nominally in [-1, 1]; values outside are clipped

    Returns
    -------
    u8[n,H,W,3], rounded half to even, as diffusers' VaeImageProcessor does

    >>> to_bytes(np.array([-2.0, -1.0, 0.0, 1.0]).reshape(4, 1, 1, 1)).ravel()
    array([  0,   0, 128, 255], dtype=uint8)
    """
    # halved and shifted before it is scaled, in the reference's order: another order moves bytes that lie on a half
    unit = np.clip(image / 2 + 0.5, 0, 1)
    return np.rint(unit.transpose(0, 2, 3, 1) * 255).astype(np.uint8)


def to_pil(image: Float) -> "list[Image]":
    """Return decoded pictures as PIL images (RGB); ``image`` as in :func:`to_bytes`."""
    from PIL import Image

    return [Image.fromarray(pixels) for pixels in to_bytes(image)]


def save_png(image: "Image", file: Path, text: Mapping[str, str]) -> None:
    """Write a PNG with text chunks, whole or not at all, replacing a file of that name.

    Raises
    ------
    ImageError : the folder is not there, or cannot be written
    """
    with written_png(image, file, text) as temporary:
        temporary.replace(file)


@contextmanager
def written_png(image: "Image", file: Path, text: Mapping[str, str]) -> Iterator[Path]:
    """Write a PNG with text chunks under a temporary name beside ``file``; the ``with`` body moves it into place.

    The temporary name is removed afterwards, whatever happens.

    Raises
    ------
    ImageError : the folder is not there, or cannot be written
    """
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in text.items():
        # halves of surrogate pairs, as undecodable arguments hold, have no bytes of their own; as escapes JSON reads them back
        info.add_text(key, value.encode("utf-8", "backslashreplace").decode("utf-8"))
    content = BytesIO()
    image.save(content, format="png", pnginfo=info)
    temporary = file.with_name(f".{file.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        try:
            with temporary.open("xb") as stream:
                stream.write(content.getbuffer())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise cannot_write(file, error) from error


def cannot_write(file: Path, error: OSError | ValueError) -> ImageError:
    """Return the error for a file or folder that the system refuses to write; a ValueError is about its name."""
    if isinstance(error, ImageError):
        return error
    reason = error.strerror or error if isinstance(error, OSError) else "no file can have this name"
    return ImageError(f"{file}: cannot be written ({reason}); choose another place")

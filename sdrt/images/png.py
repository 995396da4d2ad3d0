"""Convert the decoder's floats to bytes, and write PNG files that carry their settings."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import U8, Float
from sdrt.errors import ImageError
from sdrt.images.chunks import read_text
from sdrt.images.opening import open_picture

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["open_picture", "read_text", "save_png", "to_bytes", "to_pil", "written_png"]


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
        info.add_text(key, value)
    temporary = file.with_name(f".{file.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        try:
            with temporary.open("xb") as stream:
                image.save(stream, format="png", pnginfo=info)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ImageError(f"{file}: cannot be written ({error.strerror or error}); choose another place") from error

"""Convert the decoder's floats to bytes, and write PNG files that carry their settings."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import U8, Float
from sdrt.errors import ArrayContractError, ImageError
from sdrt.images.chunks import read_text
from sdrt.images.modes import check_image
from sdrt.images.opening import open_picture
from sdrt.printable import shown
from sdrt.values import FilePath, MappingOf, Text

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["cannot_write", "open_picture", "read_text", "save_png", "to_bytes", "to_pil", "written_png"]


_TEXT = MappingOf(Text(length=None))
# 79 bytes are the most that the format allows.
_KEY = Text(length=79, empty=False)


def to_bytes(image: Float) -> U8:
    """Round decoded pictures to bytes.

    Parameters
    ----------
    image : float[n,C,H,W], nominally in [-1, 1]; values outside are clipped

    Returns
    -------
    u8[n,H,W,C], rounded half to even, as diffusers' VaeImageProcessor does

    Raises
    ------
    ArrayContractError : another dtype or shape, or a NaN

    >>> to_bytes(np.array([-2.0, -1.0, 0.0, 1.0]).reshape(4, 1, 1, 1)).ravel()
    array([  0,   0, 128, 255], dtype=uint8)
    """
    _check_decoded(image)
    # halved and shifted before it is scaled, in the reference's order: another order moves bytes that lie on a half
    unit = np.clip(image / 2 + 0.5, 0, 1)
    return np.rint(unit.transpose(0, 2, 3, 1) * 255).astype(np.uint8)


def _check_decoded(image: object, channels: int | None = None) -> None:
    spec = f"image float[*,{'C' if channels is None else channels},*,*]"
    if not isinstance(image, np.ndarray):
        raise ArrayContractError(f"decoded pictures: expected {spec}, got {type(image).__name__}; pass a numpy array")
    if image.dtype.kind != "f" or image.ndim != 4 or (channels is not None and image.shape[1] != channels):
        raise ArrayContractError(f"decoded pictures: expected {spec}, got {image.dtype}{list(image.shape)}; pass what a decoder returns")
    if np.isnan(image).any():
        raise ArrayContractError(f"decoded pictures: {spec} holds NaN; check the latents and the decoder's precision")


def to_pil(image: Float) -> "list[Image]":
    """Return decoded pictures as PIL images (RGB); ``image`` as in :func:`to_bytes`, of 3 channels."""
    from PIL import Image

    _check_decoded(image, channels=3)
    return [Image.fromarray(pixels) for pixels in to_bytes(image)]


def save_png(image: "Image", file: Path, text: Mapping[str, str]) -> None:
    """Write a PNG with text chunks, whole or not at all, replacing a file of that name.

    Raises
    ------
    ImageError : the folder is not there, or cannot be written; no image, path or text
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

    check_image("image", image)
    file = FilePath().check("file", file, "pass the path of a PNG", ImageError)
    if not file.name:
        raise ImageError(f"file must be the path of a PNG, got {shown(str(file))}; add a name to it")
    info = PngInfo()
    for key, value in _TEXT.check("text", text, "pass the text chunks of a PNG", ImageError).items():
        _KEY.check("a key of text", key, "shorten it", ImageError)
        if "\0" in key or not key.isascii():
            raise ImageError(f"a key of text must be ASCII without NUL, got {shown(key)}; write another")
        info.add_text(key, value)
    content = BytesIO()
    try:
        image.save(content, format="png", pnginfo=info)
    except Exception as error:
        # a mode that no PNG has, or a picture that is read only now
        raise ImageError(f"image cannot be written as PNG ({error or type(error).__name__}); convert it to RGB first") from error
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

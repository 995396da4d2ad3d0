"""Input pictures of a call: their pixels as floats of the right size, and their digest.

Source: diffusers 0.42.1 ``VaeImageProcessor.preprocess``: resized by Lanczos, then scaled.
"""

import hashlib
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np

from sdrt.arrays import F32, U8
from sdrt.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Picture", "digest", "to_mask", "to_unit"]

# A PIL image, or u8[H,W], u8[H,W,3]. Union and not |: the name is a value at run time, Image is not.
Picture: TypeAlias = Union["Image", U8]


def to_unit(name: str, picture: Picture, height: int, width: int) -> F32:
    """Return a picture as RGB in [0, 1], resized: f32[1,3,height,width].

    Raises
    ------
    ImageError : neither a PIL image nor an array of bytes
    """
    pixels = np.asarray(_resized(name, picture, height, width).convert("RGB"), np.float32) / np.float32(255)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def to_mask(name: str, picture: Picture, height: int, width: int) -> F32:
    """Return a picture as a mask, resized: f32[1,1,height,width], 1 for pixels of at least half white, else 0."""
    pixels = np.asarray(_resized(name, picture, height, width).convert("L"), np.float32) / np.float32(255)
    return (pixels >= 0.5).astype(np.float32)[None, None]


def digest(name: str, picture: Picture) -> str:
    """Return the SHA-256 of a picture's pixels, for the record."""
    image = _open(name, picture)
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()


def _resized(name: str, picture: Picture, height: int, width: int) -> "Image":
    from PIL.Image import Resampling

    image = _open(name, picture)
    return image if image.size == (width, height) else image.resize((width, height), Resampling.LANCZOS)


def _open(name: str, picture: Picture) -> "Image":
    from PIL import Image

    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and (picture.ndim == 2 or picture.shape[2:] == (3,)):
        return Image.fromarray(picture)
    got = f"{picture.dtype}{list(picture.shape)}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise ImageError(f"{name} must be a PIL image, uint8[H,W] or uint8[H,W,3], got {got}; open a file with PIL.Image.open first")

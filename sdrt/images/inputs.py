"""Input pictures of a call: their pixels as floats of the right size, and their digest.

Source: diffusers 0.42.1: ``load_image``, which turns photographs upright, and ``VaeImageProcessor.preprocess``: resized by Lanczos, then
scaled. Departs where that shows the hidden colour of transparent pixels, clips pictures of 16 bits to 8, and resizes palettes by nearest
neighbours.
"""

import hashlib
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np

from sdrt.arrays import F32, U8
from sdrt.errors import ImageError
from sdrt.images.modes import alpha, check_image, check_mode, is_wide, self_contained, to_colours, wide_values

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Picture", "digest", "size_of", "to_mask", "to_soft_mask", "to_unit"]

# A PIL image, or u8[H,W], u8[H,W,3]. Union and not |: the name is a value at run time, Image is not.
Picture: TypeAlias = Union["Image", U8]


def to_unit(name: str, picture: Picture, height: int, width: int) -> F32:
    """Return a picture as RGB in [0, 1], resized: f32[1,3,height,width]; before white where it is transparent.

    Raises
    ------
    ImageError : neither a PIL image nor an array of bytes, or one that cannot be read
    """
    image = _open(name, picture)
    if is_wide(image):
        return np.repeat(_resized_values(name, image, height, width)[None, None], 3, axis=1)
    pixels = np.asarray(_resized(to_colours(image), height, width).convert("RGB"), np.float32) / np.float32(255)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def size_of(name: str, picture: Picture) -> tuple[int, int]:
    """Return the height and width of a picture that stands upright.

    Raises
    ------
    ImageError : as of :func:`to_unit`
    """
    width, height = _open(name, picture).size
    return height, width


def to_mask(name: str, picture: Picture, height: int, width: int) -> F32:
    """Return a picture as a mask, resized: f32[1,1,height,width], 1 for pixels of at least half white, else 0; see :func:`to_soft_mask`."""
    return (to_soft_mask(name, picture, height, width) >= 0.5).astype(np.float32)


def to_soft_mask(name: str, picture: Picture, height: int, width: int) -> F32:
    """Return a picture as a soft mask, resized: f32[1,1,height,width], how white each pixel is, from 0 to 1.

    Of a picture that is transparent anywhere, the opaque pixels are white.

    Source: stable-diffusion-webui 1.10.1 ``modules/processing.py::create_binary_mask``, for the transparent ones.
    """
    image = _open(name, picture)
    if is_wide(image):
        values = _resized_values(name, image, height, width)
    else:
        channel = alpha(image)
        grey = _resized(to_colours(image) if channel is None else channel, height, width).convert("L")
        values = np.asarray(grey, np.float32) / np.float32(255)
    return np.ascontiguousarray(values[None, None])


def digest(name: str, picture: Picture) -> str:
    """Return the SHA-256 of a picture's pixels, for the record."""
    image = self_contained(_open(name, picture))
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()


def _resized(image: "Image", height: int, width: int) -> "Image":
    from PIL.Image import Resampling

    return image if image.size == (width, height) else image.resize((width, height), Resampling.LANCZOS)


def _resized_values(name: str, image: "Image", height: int, width: int) -> F32:
    from PIL import Image

    # Lanczos overshoots at edges; for bytes Pillow clips by itself
    values: F32 = np.asarray(_resized(Image.fromarray(wide_values(name, image)), height, width))
    return np.clip(values, 0, 1)


def _open(name: str, picture: Picture) -> "Image":
    """Return a picture as a PIL image of a known mode, turned upright: the gate that every input picture passes."""
    from PIL import Image, ImageOps

    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and (picture.ndim == 2 or picture.shape[2:] == (3,)) and picture.size:
        return Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        array = isinstance(picture, np.ndarray)
        got = f"{picture.dtype}{list(picture.shape)}" if array else type(picture).__name__
        repair = "convert the array to uint8, 0 to 255" if array else "open a file with sdrt.images.open_picture first"
        raise ImageError(f"{name} must be a PIL image, uint8[H,W] or uint8[H,W,3], got {got}; {repair}")
    check_image(name, picture)
    check_mode(name, picture)
    try:
        return ImageOps.exif_transpose(picture)
    except Exception as error:
        # Pillow reads a file's pixels only now, and its decoders raise whatever damaged bytes lead them to
        raise ImageError(f"{name} cannot be read ({error or type(error).__name__}); open it with sdrt.images.open_picture") from error

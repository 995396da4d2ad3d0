"""Input pictures of a call: their pixels as floats of the right size, and their digest.

Source: diffusers 0.42.1: ``load_image``, which turns photographs upright, and ``VaeImageProcessor.preprocess``: resized by Lanczos, then
scaled. Departs where that shows the hidden colour of transparent pixels, clips pictures of 16 bits to 8, and resizes palettes by nearest
neighbours.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np

from sdrt.arrays import F32, U8
from sdrt.errors import ImageError
from sdrt.images.modes import WHITE, alpha, check_image, check_mode, is_wide, self_contained, to_colours, wide_values
from sdrt.images.sizes import Resize, scaled

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "NETWORK",
    "Picture",
    "digest",
    "path_of",
    "pixels_of",
    "size_of",
    "to_mask",
    "to_rgb",
    "to_soft_mask",
    "to_unit",
    "transparency",
]

# How the paths of drives in a network begin.
NETWORK = ("//", "\\\\")

# A PIL image, or u8[H,W], u8[H,W,3]. Union and not |: the name is a value at run time, Image is not.
Picture: TypeAlias = Union["Image", U8]


def to_unit(name: str, picture: Picture, height: int, width: int, resize: Resize = "stretch", background: str = WHITE) -> F32:
    """Return a picture as RGB in [0, 1], scaled: f32[1,3,height,width].

    Parameters
    ----------
    resize : "stretch", "crop" or "fit"
        See :func:`sdrt.images.sizes.scaled`.
    background : str, as #rrggbb
        The colour behind a transparent picture.

    Raises
    ------
    ImageError : neither a PIL image nor an array of bytes, or one that cannot be read
    """
    image = _open(name, picture)
    wide = is_wide(image)
    image = scaled(_wide(name, image) if wide else to_colours(image, background), height, width, resize)
    if wide:
        return np.repeat(_values(image)[None, None], 3, axis=1)
    return np.ascontiguousarray(_values(image.convert("RGB")).transpose(2, 0, 1)[None])


def to_rgb(name: str, picture: Picture, background: str = WHITE) -> "Image":
    """Return a picture as RGB of 8 bits, in its own size and upright; see :func:`to_unit`."""
    from PIL import Image

    image = _open(name, picture)
    if is_wide(image):
        image = Image.fromarray(np.rint(wide_values(name, image) * 255).astype(np.uint8))
    return to_colours(image, background).convert("RGB")


def size_of(name: str, picture: Picture) -> tuple[int, int]:
    """Return the height and width of a picture that stands upright.

    Raises
    ------
    ImageError : as of :func:`to_unit`
    """
    width, height = _open(name, picture).size
    return height, width


def to_mask(name: str, picture: Picture, height: int, width: int, resize: Resize = "stretch", of: tuple[int, int] | None = None) -> F32:
    """Return a picture as a mask: f32[1,1,height,width], 1 for pixels of at least half white, else 0; see :func:`to_soft_mask`."""
    return (to_soft_mask(name, picture, height, width, resize, of) >= 0.5).astype(np.float32)


def to_soft_mask(
    name: str, picture: Picture, height: int, width: int, resize: Resize = "stretch", of: tuple[int, int] | None = None
) -> F32:
    """Return a picture as a soft mask, scaled: f32[1,1,height,width], how white each pixel is, from 0 to 1.

    Of a picture that is transparent anywhere, the opaque pixels are white.

    Parameters
    ----------
    resize : "stretch", "crop" or "fit"
        That of the masked picture. The borders of "fit" continue the edge of the mask, as they continue that of the picture: they are
        redrawn where it is white, and kept where it is black.
    of : (height, width) or None
        The size of the masked picture. A mask of another size is stretched onto it first, so that both are cut alike.

    Source: stable-diffusion-webui 1.10.1 ``modules/processing.py::create_binary_mask``, for the transparent ones.
    """
    image = _open(name, picture)
    channel = None if is_wide(image) else alpha(image)
    image = _wide(name, image) if is_wide(image) else to_colours(image) if channel is None else channel
    if of is not None and resize != "stretch":
        image = scaled(image, *of, "stretch")
    image = scaled(image, height, width, resize)
    return np.ascontiguousarray(_values(image if image.mode == "F" else image.convert("L"))[None, None])


def transparency(name: str, picture: Picture, height: int, width: int, resize: Resize = "stretch") -> F32 | None:
    """Return how transparent each pixel of a picture is, scaled: f32[1,1,height,width] in [0, 1]; None where all of it is opaque."""
    image = _open(name, picture)
    channel = None if is_wide(image) else alpha(image)
    return None if channel is None else 1 - _values(scaled(channel, height, width, resize))[None, None]


def digest(name: str, picture: Picture) -> str:
    """Return the SHA-256 of a picture's pixels, for the record."""
    image = pixels_of(name, picture)
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()


def pixels_of(name: str, picture: Picture) -> "Image":
    """Return a picture that draws the same, of whose file nothing but the pixels is left: upright, with the colours of its palette."""
    return self_contained(_open(name, picture))


def path_of(picture: Picture) -> str | None:
    """Return the absolute path of the file that a picture was opened from, for the record.

    None for a picture that was made otherwise, and for one on a drive of the network: a record must not make its reader call a server.
    """
    file = getattr(picture, "filename", None)
    if not isinstance(file, str) or not file:
        return None
    try:
        path = str(Path(file).absolute())
    except (OSError, ValueError):
        # a current folder that was removed
        return None
    return None if path.startswith(NETWORK) else path


def _wide(name: str, image: "Image") -> "Image":
    """Return a picture of 16 bits with values from 0 to 1, in mode F."""
    from PIL import Image

    return Image.fromarray(wide_values(name, image))


def _values(image: "Image") -> F32:
    """Return the values of a picture of bytes, or of mode F, as f32[H,W] or f32[H,W,3] in [0, 1]."""
    values = np.asarray(image, np.float32)
    # Lanczos overshoots at edges; for bytes Pillow clips by itself
    return np.clip(values, 0, 1) if image.mode == "F" else values / np.float32(255)


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

"""What the modes of Pillow's pictures mean here: which hold colours, which transparency, which 16 bits."""

from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import F32
from sdrt.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["WHITE", "alpha", "check_image", "check_mode", "is_wide", "self_contained", "to_colours", "wide_values"]

_COLOURS = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")
_TRANSPARENT = ("LA", "PA", "RGBA", "RGBa")
# Depth maps: one number of 16 bits for each pixel. Which of the modes a PNG of 16 bits gets depends on Pillow's version.
_WIDE = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_WIDE_MAXIMUM = 65535

# What shows through transparent pixels, whose own colour nobody sees: white, as in AUTOMATIC1111's web UI.
WHITE = "#ffffff"


def check_image(name: str, image: object) -> None:
    """Raise ImageError unless this is a PIL image that has pixels."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        raise ImageError(f"{name} must be a PIL image, got {type(image).__name__}; pass one")
    if not image.width * image.height:
        raise ImageError(f"{name} must have pixels, got a picture of {image.width}x{image.height}; pass another one")


def check_mode(name: str, image: "Image") -> None:
    """Raise ImageError for a picture whose values have no stated range: floats, and what Pillow itself cannot convert."""
    if image.mode not in (*_COLOURS, *_TRANSPARENT, *_WIDE):
        floats = ", whose values may mean anything" if image.mode == "F" else ""
        raise ImageError(
            f"{name} must be a picture in colours, in greys or of 16 bits, got mode {image.mode}{floats}; convert it to RGB first"
        )


def is_wide(image: "Image") -> bool:
    """Return whether a picture has 16 bits for each pixel."""
    return image.mode in _WIDE


def wide_values(name: str, image: "Image") -> F32:
    """Return a picture of 16 bits as f32[H,W] in [0, 1]: its values divided by 65535.

    Raises
    ------
    ImageError : a value outside 0 to 65535, which mode I can hold
    """
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > _WIDE_MAXIMUM:
        raise ImageError(f"{name} must have values from 0 to {_WIDE_MAXIMUM} in mode {image.mode}, got {low} to {high}; scale them first")
    return values.astype(np.float32) / np.float32(_WIDE_MAXIMUM)


def alpha(image: "Image") -> "Image | None":
    """Return what a picture's transparency leaves visible, as greys; None where all of it is."""
    if not image.has_transparency_data:
        return None
    channel = image.convert("RGBA").getchannel("A")
    return None if channel.getextrema() == (255, 255) else channel


def to_colours(image: "Image", background: str = WHITE) -> "Image":
    """Return a picture as RGB or L, seen before a colour (#rrggbb) where it is transparent; those of these modes as they are."""
    from PIL import Image

    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, background), image).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def self_contained(image: "Image") -> "Image":
    """Return a picture whose bytes say all of it: with its palette's colours in place of their numbers."""
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image

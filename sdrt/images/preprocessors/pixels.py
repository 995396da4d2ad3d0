"""From a picture to the pixels that a pre-processor reads, and from what it drew back to a picture."""

from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import F32, U8
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.images.gaussian import convolved
from sdrt.images.inputs import Picture, size_of, to_unit

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["blurred", "luma", "picture_of", "pixels_of"]

# ITU-R BT.601, as Pillow and OpenCV weigh colours
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def pixels_of(picture: Picture) -> U8:
    """Return the pixels of a picture at its own size: u8[H,W,3], before white where it is transparent.

    Raises
    ------
    ImageError : neither a PIL image nor an array of bytes, or one that cannot be read
    """
    unit = to_unit("picture", picture, *size_of("picture", picture))
    pixels: U8 = np.rint(unit[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    return pixels


def picture_of(pixels: U8) -> "Image":
    """Return u8[H,W] or u8[H,W,3] as a PIL image."""
    from PIL import Image

    return Image.fromarray(pixels)


def luma(pixels: U8, functions: Functions = PLATFORM) -> F32:
    """Return how light each pixel is: f32[H,W] in [0, 255]."""
    light: F32 = functions.matmul(pixels, _LUMA)
    return light


def blurred(values: F32, sigma: float) -> F32:
    """Convolve with a Gaussian of a deviation in pixels, cut off at four of them; the edges are repeated.

    Parameters
    ----------
    values : f32[H,W] or f32[H,W,C]
    sigma : float
    """
    return convolved(values, sigma, max(1, round(4 * sigma)), (0, 1), "edge")

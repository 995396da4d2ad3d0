"""A picture in greys, and its negative."""

from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import U8
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.images.inputs import Picture
from sdrt.images.preprocessors.pixels import luma, picture_of, pixels_of

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["grey", "grey_pixels", "invert", "inverted_pixels"]


def grey(picture: Picture) -> "Image":
    """Return a picture in greys, by the luma of ITU-R BT.601, for the ControlNets that colour.

    Returns
    -------
    PIL image of mode L

    Raises
    ------
    ImageError : no picture
    """
    return picture_of(grey_pixels(pixels_of(picture)))


def grey_pixels(pixels: U8, functions: Functions = PLATFORM) -> U8:
    """Return how light each pixel is: u8[H,W], of u8[H,W,3]."""
    return np.rint(luma(pixels, functions)).astype(np.uint8)


def invert(picture: Picture) -> "Image":
    """Return the negative of a picture: a drawing in dark ink becomes the white lines on black that ControlNets follow.

    Returns
    -------
    PIL image of mode RGB

    Raises
    ------
    ImageError : no picture
    """
    return picture_of(inverted_pixels(pixels_of(picture)))


def inverted_pixels(pixels: U8) -> U8:
    """Return 255 less each value: u8[H,W,3], of u8[H,W,3]."""
    return 255 - pixels

"""A picture without its details, for the ControlNets that draw them anew: tile, and blur."""

from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import U8
from sdrt.images.inputs import Picture
from sdrt.images.preprocessors.pixels import picture_of, pixels_of
from sdrt.values import Integer

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["tile", "tile_pixels"]

_FACTOR = Integer(minimum=1, maximum=1024)


def tile(picture: Picture, factor: int = 8) -> "Image":
    """Reduce a picture by the mean of each square of pixels, and enlarge it again by bicubic interpolation.

    Parameters
    ----------
    picture : Picture
    factor : int
        The side of a square, in pixels.

    Returns
    -------
    PIL image of mode RGB, of the picture's size

    Raises
    ------
    ConfigError : ``factor`` is below 1
    ImageError : no picture
    """
    return picture_of(tile_pixels(pixels_of(picture), _FACTOR.check("factor", factor)))


def tile_pixels(pixels: U8, factor: int = 8) -> U8:
    """Return the blurred picture: u8[H,W,3], of u8[H,W,3]."""
    from PIL import Image

    height, width = pixels.shape[:2]
    small = Image.fromarray(pixels).reduce(min(factor, height, width))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))

"""A picture as a scribble: the few contours that stand out, in lines as thick as a felt pen's."""

from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import U8
from sdrt.images.inputs import Picture
from sdrt.images.preprocessors.canny import canny_pixels
from sdrt.images.preprocessors.pixels import blurred, picture_of, pixels_of

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["scribble", "scribble_pixels"]

# of a picture whose longer side is 512 pixels; others are scaled
_SIDE = 512
_BLUR = 3.0
_PEN = 3.0  # the radius of a line


def scribble(picture: Picture) -> "Image":
    """Draw the main contours of a picture: thick white lines on black.

    The picture is blurred, so that details are lost; its Canny edges are drawn by a round pen. The blur's deviation and the pen's radius
    are 3 pixels for a picture of 512, and in proportion for others. A drawing that is dark on light paper needs :func:`invert` instead.

    Returns
    -------
    PIL image of mode L

    Raises
    ------
    ImageError : no picture
    """
    return picture_of(scribble_pixels(pixels_of(picture)))


def scribble_pixels(pixels: U8) -> U8:
    """Return 255 on lines, else 0: u8[H,W], of u8[H,W,3]."""
    scale = max(pixels.shape[:2]) / _SIDE
    smooth = blurred(pixels.astype(np.float32), max(0.5, _BLUR * scale))
    # blurring has made the steps of edges lower
    edges = canny_pixels(np.rint(smooth).astype(np.uint8), low=20, high=60)
    return _thickened(edges, max(1.0, _PEN * scale))


def _thickened(edges: U8, radius: float) -> U8:
    """Return the pixels whose centres are within ``radius`` of an edge."""
    reach = int(radius)
    height, width = edges.shape
    padded = np.pad(edges, reach)
    thick = np.zeros_like(edges)
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            if x * x + y * y <= radius * radius:
                np.maximum(thick, padded[reach + y : reach + y + height, reach + x : reach + x + width], out=thick)
    return thick

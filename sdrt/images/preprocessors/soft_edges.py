"""Soft edges: how much a picture changes at each pixel, seen at several scales.

The look is that of holistically-nested edge detection (HED; Xie and Tu 2015, arXiv:1504.06375), for whose drawings ControlNets were
trained: broad grey lines, brighter where a contour shows at every scale. It is not HED's network, which has learnt which contours matter;
this draws the texture of a lawn as eagerly as the outline of a dog.
"""

from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import F32, U8
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.images.inputs import Picture
from sdrt.images.preprocessors.pixels import blurred, picture_of, pixels_of

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["soft_edge_pixels", "soft_edges"]

# deviations of the Gaussians, in pixels
_SCALES = (1.0, 2.0, 4.0)
# the contrast, as a share of black to white, of a step that is drawn at 76 % of white
_CONTRAST = 0.25


def soft_edges(picture: Picture) -> "Image":
    """Draw the contours of a picture as soft grey lines on black.

    At each of the scales s = 1, 2 and 4 pixels, the picture is blurred by a Gaussian of deviation s, and the length of its gradient is
    multiplied by s * sqrt(2 pi): on a straight step this is the step's contrast, whatever s is. The mean m over the scales becomes
    tanh(m / 0.25). Of colours, the channel that changes most counts.

    Returns
    -------
    PIL image of mode L

    Raises
    ------
    ImageError : no picture
    """
    return picture_of(soft_edge_pixels(pixels_of(picture)))


def soft_edge_pixels(pixels: U8, functions: Functions = PLATFORM) -> U8:
    """Return how strong the contours are: u8[H,W], of u8[H,W,3]."""
    unit = pixels.astype(np.float32) / np.float32(255)
    contrast = sum(_contrast(unit, scale) for scale in _SCALES) / np.float32(len(_SCALES))
    edges: U8 = np.rint(functions.tanh(contrast / np.float32(_CONTRAST)) * 255).astype(np.uint8)
    return edges


def _contrast(unit: F32, scale: float) -> F32:
    """Return the contrast at each pixel at one scale: f32[H,W], of f32[H,W,C] in [0, 1]."""
    padded = np.pad(blurred(unit, scale), ((1, 1), (1, 1), (0, 0)), "edge")
    across, down = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    steepest: F32 = np.sqrt(across * across + down * down).max(axis=2)
    return steepest * np.float32(0.5 * scale * np.sqrt(2 * np.pi))

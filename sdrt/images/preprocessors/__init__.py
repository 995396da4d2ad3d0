"""Pre-processors: from a picture to the one that a ControlNet was trained to follow. Each is one algorithm, in numpy."""

from collections.abc import Callable, Mapping

import numpy as np

from sdrt.arrays import F32, U8, Array
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.images.preprocessors.canny import canny_pixels
from sdrt.images.preprocessors.hole import marked_hole
from sdrt.images.preprocessors.scribble import scribble_pixels
from sdrt.images.preprocessors.soft_edges import soft_edge_pixels
from sdrt.images.preprocessors.tile import tile_pixels
from sdrt.images.preprocessors.tones import grey_pixels, inverted_pixels

__all__ = ["PREPROCESSORS", "preprocess"]

# u8[H,W,3] -> u8[H,W] or u8[H,W,3]
_OF_PIXELS: Mapping[str, Callable[[U8, Functions], U8]] = {
    "canny": lambda pixels, _: canny_pixels(pixels),
    "soft_edges": soft_edge_pixels,
    "scribble": lambda pixels, _: scribble_pixels(pixels),
    "tile": lambda pixels, _: tile_pixels(pixels),
    "grey": grey_pixels,
    "invert": lambda pixels, _: inverted_pixels(pixels),
}

PREPROCESSORS = ("none", *_OF_PIXELS, "inpaint")


def preprocess(name: str, unit: F32, hole: Array | None = None, functions: Functions = PLATFORM) -> F32:
    """Turn a picture into the one that a ControlNet takes.

    Parameters
    ----------
    name : one of `PREPROCESSORS`
    unit : f32[1,3,H,W] in [0, 1]
        The picture at the size of the run.
    hole : bool[1,1,H,W] or None
        For ``"inpaint"``, the pixels to draw anew.
    functions : Functions

    Returns
    -------
    f32[1,3,H,W] in [0, 1], and -1 in the hole
    """
    if name == "inpaint":
        return marked_hole(unit, hole)
    if name == "none":
        return unit
    drawn = _OF_PIXELS[name](np.rint(unit[0].transpose(1, 2, 0) * 255).astype(np.uint8), functions)
    channels = drawn if drawn.ndim == 3 else np.repeat(drawn[..., None], 3, axis=2)
    return np.ascontiguousarray(channels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)

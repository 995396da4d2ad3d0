"""Masks of in-painting: blurred, as cells of latents, the region around them, and what a hole is filled with.

A mask is f32[1,1,H,W] in [0, 1]: 1 where a picture is redrawn, 0 where it is kept.
"""

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from sdrt.arrays import F32
from sdrt.errors import ImageError
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.images.gaussian import convolved
from sdrt.images.sizes import scaled

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Box", "blur", "crop_region", "fill", "paste", "to_latent_mask"]

# left, top, right, bottom in pixels; right and bottom are outside.
Box: TypeAlias = tuple[int, int, int, int]

# How far the colours around a hole are spread into it, the farthest first, as standard deviations in pixels; and how often each layer is
# laid over those before it, so that it hides them where it has colour.
_LAYERS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))


def blur(mask: F32, pixels: float) -> F32:
    """Soften the edge of a mask by a Gaussian with a standard deviation of so many pixels; 0 leaves it as it is.

    Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1 ``modules/processing.py``, whose ``mask_blur`` this is: OpenCV's Gaussian, cut off
    after 2.5 deviations and mirrored at the borders of the mask; within 2/255, as OpenCV rounds its weights. diffusers 0.42.1
    ``VaeImageProcessor.blur`` is near, within 10/255: Pillow approximates the same Gaussian by three box filters.
    """
    if not pixels:
        return mask
    return np.clip(convolved(mask, pixels, int(2.5 * pixels + 0.5), (2, 3), "reflect"), 0, 1)


def to_latent_mask(mask: F32, pixels: int, how: Literal["nearest", "area"], functions: Functions = PLATFORM) -> F32:
    """Return a mask with one value for each cell of latents: f32[1,1,H/pixels,W/pixels].

    Parameters
    ----------
    mask : f32[1,1,H,W]
    pixels : int
        Height and width of a cell, which divides H and W.
    how : "nearest" or "area"
        The upper left pixel of each cell, as torch's mode of that name and so diffusers; or the mean of its pixels, for a soft mask.
    functions : Functions
        That means are computed with.
    """
    if how == "nearest":
        return np.ascontiguousarray(mask[:, :, ::pixels, ::pixels])
    height, width = mask.shape[2:]
    cells = mask.reshape(1, 1, height // pixels, pixels, width // pixels, pixels)
    means: F32 = functions.mean(cells, (3, 5))
    return means


def crop_region(mask: F32, height: int, width: int, padding: int = 0) -> Box:
    """Return the region to draw instead of a whole picture: around what a mask redraws, of the shape that is drawn, inside the picture.

    Parameters
    ----------
    mask : f32[1,1,H,W]
        As large as the picture. All that is not black when rounded to a byte counts, soft edges too.
    height, width : int
        The size that is drawn. The region has this shape, within a pixel, unless the picture is too low or too narrow for it.
    padding : int (pixels)
        How much of the picture around the mask belongs to the region at least.

    Raises
    ------
    ImageError : a mask that is black everywhere

    Source: diffusers 0.42.1 ``VaeImageProcessor.get_crop_region``, after AUTOMATIC1111's web UI.
    """
    redrawn = np.rint(mask[0, 0] * 255) > 0
    rows, columns = (np.flatnonzero(redrawn.any(axis)) for axis in (1, 0))
    if not len(rows):
        raise ImageError("mask_image must be white somewhere to redraw only what it covers, got a mask that is black; paint on it")
    most_height, most_width = redrawn.shape
    top, bottom = max(int(rows[0]) - padding, 0), min(int(rows[-1]) + 1 + padding, most_height)
    left, right = max(int(columns[0]) - padding, 0), min(int(columns[-1]) + 1 + padding, most_width)
    # in the reference's arithmetic, which rounds
    shape = width / height
    if (right - left) / (bottom - top) > shape:
        top, bottom = _widened(top, bottom, int((right - left) / shape - (bottom - top)), most_height)
    else:
        left, right = _widened(left, right, int((bottom - top) * shape - (right - left)), most_width)
    return left, top, right, bottom


def _widened(start: int, end: int, more: int, size: int) -> tuple[int, int]:
    """Return a span that is longer on both sides, moved and cut so that it lies between 0 and ``size``."""
    start, end = start - more // 2, end + more - more // 2
    back = max(end - size, 0)
    start, end = start - back, end - back
    forth = max(-start, 0)
    return start + forth, min(end + forth, size)


def fill(image: "Image", mask: "Image") -> "Image":
    """Fill a hole in a picture with the colours around it, blurred the more the farther they are.

    Parameters
    ----------
    image : PIL.Image.Image, RGB
    mask : PIL.Image.Image, L, of the same size
        White where the hole is.

    Returns
    -------
    PIL.Image.Image, RGB
        Black where no colour reaches: everywhere if the mask is white everywhere, or farther than 256 pixels times a few inside a hole.

    Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1 ``modules/masking.py::fill``, whose radii these are.
    """
    from PIL import Image, ImageChops, ImageFilter

    kept = Image.new("RGBa", image.size)
    # colours times opacity, so that the hole's own colour weighs nothing
    kept.paste(image.convert("RGBA").convert("RGBa"), mask=ImageChops.invert(mask))
    filled = Image.new("RGBA", image.size)
    for deviation, times in _LAYERS:
        layer = kept.filter(ImageFilter.GaussianBlur(deviation)).convert("RGBA")
        for _ in range(times):
            filled.alpha_composite(layer)
    return filled.convert("RGB")


def paste(image: "Image", drawn: "Image", mask: F32, box: Box) -> "Image":
    """Put a region that was drawn at another size back into its picture, through the mask.

    Parameters
    ----------
    image : PIL.Image.Image, RGB
    drawn : PIL.Image.Image, RGB
        The region; scaled to cover the box, and what exceeds it is cut off.
    mask : f32[1,1,H,W]
        As large as the picture. Where it is 0, the bytes are those of the picture; between 0 and 1, both are mixed.
    box : Box

    Source: diffusers 0.42.1 ``VaeImageProcessor.apply_overlay``.
    """
    from PIL import Image

    left, top, right, bottom = box
    region = np.asarray(scaled(drawn, bottom - top, right - left, "crop"), np.float32)
    redrawn = mask[0, 0, top:bottom, left:right, None]
    pixels = np.array(image)
    mixed = pixels[top:bottom, left:right] * (1 - redrawn) + region * redrawn
    pixels[top:bottom, left:right] = np.rint(mixed)
    return Image.fromarray(pixels)

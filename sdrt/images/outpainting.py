"""Enlarge a picture for out-painting: a canvas with new borders, and the mask of what is to be drawn there."""

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from sdrt.arrays import F32, U8
from sdrt.errors import ImageError
from sdrt.exact.functions import hypot
from sdrt.images.inputs import Picture, to_rgb
from sdrt.images.masks import blur as blurred
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.values import Choice, Instance, Integer, Number, read_values

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["BorderFill", "outpaint"]

BorderFill: TypeAlias = Literal["spread", "mirror"]

# (top, bottom), (left, right) in pixels.
Borders: TypeAlias = tuple[tuple[int, int], tuple[int, int]]

# The most that far borders are blurred, as a standard deviation in pixels; no detail is left then.
_WIDEST = 256

_SIDE = Integer(minimum=0, maximum=2**20)
_KINDS = {
    **dict.fromkeys(("left", "top", "right", "bottom"), _SIDE),
    "blur": Number(minimum=0, maximum=1_000),
    "fill": Choice(*get_args(BorderFill)),
    "multiple": Integer(minimum=1, maximum=1_024),
    "limits": Instance(Limits),
}


def outpaint(
    image: Picture,
    *,
    left: int = 0,
    top: int = 0,
    right: int = 0,
    bottom: int = 0,
    blur: float = 4.0,
    fill: BorderFill = "spread",
    multiple: int = 8,
    limits: Limits = DEFAULT_LIMITS,
) -> "tuple[Image, Image]":
    """Return a picture with new borders, and the mask that lets an in-painting draw them.

    The two go to ``generate(image=..., mask_image=...)`` with the height and width of the new picture. Outside the mask the picture is kept
    byte for byte.

    Parameters
    ----------
    image : Picture
        Seen before white where it is transparent.
    left, top, right, bottom : int (pixels)
        How wide the new borders are.
    blur : float (pixels)
        How softly the mask ends. It is white on the borders, and fades to black within the first ``5 * blur`` pixels of the picture, which
        are redrawn in part so that no seam shows.
    fill : "spread" or "mirror"
        What the borders hold until they are drawn: the colours of the picture's edge, blurred the more the farther they are; or the
        picture, mirrored at its edge.
    multiple : int
        The sides of the new picture are multiples of this, as networks need them: the wider border of the two in a direction grows until
        they are (the right or lower one where both are alike).
    limits : Limits
        ``pixels`` counts.

    Returns
    -------
    (picture, mask) : PIL.Image.Image, RGB and L

    Raises
    ------
    ImageError : no picture, no border, or a picture too large

    >>> picture, mask = outpaint(np.zeros((64, 64, 3), np.uint8), left=30)
    >>> picture.size, mask.size, mask.getpixel((31, 0))
    ((96, 64), (96, 64), 255)
    """
    from PIL import Image

    read_values("", {name: value for name, value in locals().items() if name in _KINDS}, _KINDS, "pass such a value", ImageError)
    if not (left or top or right or bottom):
        raise ImageError("out-painting must have a border to draw, got none; set left, top, right or bottom")
    picture = to_rgb("image", image)
    (left, right), (top, bottom) = _rounded(picture.width, left, right, multiple), _rounded(picture.height, top, bottom, multiple)
    width, height = left + picture.width + right, top + picture.height + bottom
    limits.check("pixels", "the pixels of the new picture", width * height, ImageError)
    borders = ((top, bottom), (left, right))
    canvas = _padded(picture, borders, "symmetric") if fill == "mirror" else _spread(picture, borders)
    return canvas, Image.fromarray(_mask(picture.height, picture.width, borders, blur))


def _rounded(size: int, before: int, after: int, multiple: int) -> tuple[int, int]:
    """Return two borders, the wider one grown until all is a multiple."""
    more = -(before + size + after) % multiple
    return (before + more, after) if before > after else (before, after + more)


def _padded(picture: "Image", borders: Borders, mode: Literal["edge", "symmetric"]) -> "Image":
    from PIL import Image

    return Image.fromarray(np.pad(np.asarray(picture), (*borders, (0, 0)), mode=mode))


def _spread(picture: "Image", borders: Borders) -> "Image":
    """Continue a picture beyond its edge, blurred the more the farther away, so that no pixel of the edge becomes a streak."""
    from PIL import Image, ImageFilter

    canvas = _padded(picture, borders, "edge")
    distance = _distance(picture.height, picture.width, borders)
    deviation = 1
    while deviation <= min(float(distance.max()), _WIDEST):
        soften = ImageFilter.GaussianBlur(deviation)
        layer = _padded(picture.filter(soften), borders, "edge").filter(soften)
        # in full from twice the deviation on
        amount = np.clip(distance / deviation - 1, 0, 1)
        canvas = Image.composite(layer, canvas, Image.fromarray(np.rint(amount * 255).astype(np.uint8)))
        deviation *= 2
    return canvas


def _distance(height: int, width: int, borders: Borders) -> F32:
    """Return how many pixels each pixel of a canvas is away from the picture on it: f32[H,W]."""
    rows, columns = (
        np.pad(np.zeros(size, np.float32), border, mode="linear_ramp", end_values=border)
        for size, border in zip((height, width), borders, strict=True)
    )
    distance: F32 = hypot(rows[:, None], columns[None])
    return distance


def _mask(height: int, width: int, borders: Borders, blur: float) -> U8:
    """Return a mask, u8[H,W]: white on the borders, fading into the picture."""
    rows, columns = (_kept(size, border, blur) for size, border in zip((height, width), borders, strict=True))
    mask: F32 = 1 - rows[:, None] * columns[None]
    return np.rint(255 * mask).astype(np.uint8)


def _kept(size: int, border: tuple[int, int], blur: float) -> F32:
    """Return how much is kept along one side: f32[H] or f32[W]."""
    # the blur reaches as far outwards, and so ends where the border does
    inset = int(2.5 * blur + 0.5)
    before, after = border
    kept = np.zeros(before + size + after, np.float32)
    start, end = before + (inset if before else 0), before + size - (inset if after else 0)
    kept[start : max(start, end)] = 1
    softened: F32 = blurred(kept[None, None, None], blur)[0, 0, 0]
    return softened

"""Several pictures in one image."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from sdrt.errors import ImageError
from sdrt.images.modes import check_image, check_mode, is_wide, to_colours, wide_values
from sdrt.values import Integer

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["as_colours", "grid"]

_GAP = Integer(0, 10_000)


def grid(images: "Iterable[Image]", gap: int = 4) -> "Image":
    """Arrange pictures of one size in a grid, as square as possible; a single one is returned as it is.

    Parameters
    ----------
    images : PIL.Image.Image, at least one
    gap : int
        White pixels between two pictures.

    Raises
    ------
    ImageError : no picture, something that is none, or a gap that is none

    >>> from PIL import Image
    >>> grid([Image.new("RGB", (10, 20))] * 5).size
    (38, 44)
    """
    from PIL import Image

    gap = _GAP.check("gap", gap, "pass a number of pixels", ImageError)
    if isinstance(images, str | bytes | Image.Image) or not isinstance(images, Iterable):
        raise ImageError(f"images must be a list of PIL images, got {type(images).__name__}; write [image]")
    pictures = list(images)
    if not pictures:
        raise ImageError("images must hold at least one PIL image, got none; a call that was cancelled has none")
    for picture in pictures:
        check_image("each of images", picture)
    if len(pictures) == 1:
        return pictures[0]
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width, height = pictures[0].size
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(as_colours(picture), (column * (width + gap), row * (height + gap)))
    return sheet


def as_colours(picture: "Image") -> "Image":
    """Return a picture of any mode as RGB or L."""
    from PIL import Image

    check_mode("each of images", picture)
    if is_wide(picture):
        return Image.fromarray(np.rint(wide_values("each of images", picture) * 255).astype(np.uint8))
    return to_colours(picture)

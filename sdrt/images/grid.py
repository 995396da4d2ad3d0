"""Several pictures in one image."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["grid"]


def grid(images: "Sequence[Image]", gap: int = 4) -> "Image":
    """Arrange pictures of one size in a grid, as square as possible; a single one is returned as it is.

    Parameters
    ----------
    images : sequence of PIL.Image.Image, at least one
    gap : int
        White pixels between two pictures.

    >>> from PIL import Image
    >>> grid([Image.new("RGB", (10, 20))] * 5).size
    (38, 44)
    """
    from PIL import Image

    if len(images) == 1:
        return images[0]
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        sheet.paste(image, (column * (width + gap), row * (height + gap)))
    return sheet

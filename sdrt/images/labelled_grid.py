"""Pictures in rows and columns with a label beside each row and above each column, in Pillow's built-in font."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdrt.errors import ImageError
from sdrt.images.grid import as_colours
from sdrt.images.modes import check_image
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.values import ListOf, Text

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = ["labelled_grid"]

_LABELS = ListOf(Text())
_GAP = 4
_INK = (16, 16, 16)
# Letters are this share of a picture's shorter side, within what can be read and what is still beside the picture.
_SHARE, _SMALLEST, _LARGEST = 16, 12, 40
# The widest column of labels beside the rows, in letters; longer labels are broken into lines.
_LETTERS_BESIDE = 14
# More lines than that are cut off, with an ellipsis.
_MOST_LINES = 12


def labelled_grid(
    images: "Sequence[Image]", rows: Sequence[str] = ("",), columns: Sequence[str] = ("",), limits: Limits = DEFAULT_LIMITS
) -> "Image":
    """Arrange pictures in a labelled grid on white.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
        One for each row and column, row by row; where their sizes differ, each is in the middle of the largest one's place.
    rows, columns : sequences of str
        The labels; labels that are all empty take no room. The built-in font has Latin, Greek and Cyrillic letters.
    limits : Limits
        ``pixels`` bounds the sheet.

    Returns
    -------
    PIL.Image.Image, RGB

    Raises
    ------
    ImageError : no pictures, another number of them than of places, something that is none, or a sheet above the limit

    >>> from PIL import Image
    >>> labelled_grid([Image.new("RGB", (10, 20))] * 2, columns=["", ""]).size
    (24, 20)
    """
    from PIL import Image, ImageDraw

    beside, above = (_LABELS.check(name, list(each), "pass texts", ImageError) for name, each in (("rows", rows), ("columns", columns)))
    if not images or len(images) != len(beside) * len(above):
        raise ImageError(f"images must be {len(beside)} times {len(above)} pictures, got {len(images)}; pass one for each row and column")
    for image in images:
        check_image("each of images", image)
    width, height = (max(image.size[side] for image in images) for side in (0, 1))
    letters = min(max(min(width, height) // _SHARE, _SMALLEST), _LARGEST)
    font = _font(letters)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    row_texts = [_wrapped(ruler, label, font, _LETTERS_BESIDE * font.getbbox("m")[2]) for label in beside]
    column_texts = [_wrapped(ruler, label, font, width) for label in above]
    left = max(_size(ruler, text, font)[0] for text in row_texts)
    top = max(_size(ruler, text, font)[1] for text in column_texts)
    # a label with more lines than its picture is high makes room for itself
    height = max(height, *(_size(ruler, text, font)[1] for text in row_texts))
    left, top = (each and each + letters for each in (left, top))
    size = (left + len(above) * (width + _GAP) - _GAP, top + len(beside) * (height + _GAP) - _GAP)
    limits.check("pixels", "height times width of the sheet", size[0] * size[1], ImageError)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for k, text in enumerate(column_texts):
        place = (left + k * (width + _GAP) + width / 2, top / 2)
        draw.multiline_text(place, text, _INK, font, anchor="mm", align="center")
    for k, text in enumerate(row_texts):
        place = (left / 2, top + k * (height + _GAP) + height / 2)
        draw.multiline_text(place, text, _INK, font, anchor="mm", align="center")
    for index, image in enumerate(images):
        row, column = divmod(index, len(above))
        x, y = left + column * (width + _GAP), top + row * (height + _GAP)
        sheet.paste(as_colours(image), (x + (width - image.width) // 2, y + (height - image.height) // 2))
    return sheet


def _font(size: int) -> "FreeTypeFont | ImageFont":
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _size(ruler: "ImageDraw", text: str, font: "FreeTypeFont | ImageFont") -> tuple[int, int]:
    if not text:
        return 0, 0
    left, top, right, bottom = ruler.multiline_textbbox((0, 0), text, font)
    return round(right - left), round(bottom - top) + 1


def _wrapped(ruler: "ImageDraw", label: str, font: "FreeTypeFont | ImageFont", width: float) -> str:
    """Return a label in lines of at most so many pixels; a word that is longer is broken."""
    lines: list[str] = [""]
    for word in label.split():
        joined = f"{lines[-1]} {word}".strip()
        if ruler.textlength(joined, font) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and ruler.textlength(lines[-1] + letter, font) > width:
                lines.append("")
            lines[-1] += letter
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"{lines[_MOST_LINES - 1][:-1]}…"]
    return "\n".join(lines)

"""Scale a picture to another height and width: stretched, cut in the middle, or with borders.

Source: diffusers 0.42.1 ``VaeImageProcessor.resize``, whose modes "default", "crop" and "fill" these are. Departs where that leaves a black
line at the lower or right edge of "fill", as it does in some odd sizes, and where it raises because one side would be scaled to nothing.
"""

from typing import TYPE_CHECKING, Literal, TypeAlias

from sdrt.errors import ImageError
from sdrt.printable import shown

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["RESIZES", "Resize", "lanczos", "scaled"]

Resize: TypeAlias = Literal["stretch", "crop", "fit"]
RESIZES: tuple[Resize, ...] = ("stretch", "crop", "fit")

# A scaled picture of more than so many times the pixels that are kept of it is never made whole.
_MOST_CUT = 16


def scaled(image: "Image", height: int, width: int, resize: Resize) -> "Image":
    """Return a picture scaled by Lanczos; one of this size as it is.

    Parameters
    ----------
    image : PIL.Image.Image of mode L, RGB or F
    height, width : int
    resize : "stretch", "crop" or "fit"
        "stretch" scales both sides independently. "crop" scales the picture to cover the new size, and cuts out the middle. "fit" scales
        it to fit inside, and fills the borders with the colours of its edge.

    Raises
    ------
    ImageError : another ``resize``
    """
    match resize:
        case "stretch":
            return lanczos(image, width, height)
        case "crop":
            return _cropped(image, width, height)
        case "fit":
            return _fitted(image, width, height)
    raise ImageError(f"resize must be {' or '.join(map(repr, RESIZES))}, got {shown(resize)}; pass such a value")


def lanczos(image: "Image", width: int, height: int, box: tuple[float, float, float, float] | None = None) -> "Image":
    """Return a picture, or what lies in a box of it, at another size by Lanczos; a picture of this size as it is."""
    from PIL.Image import Resampling

    return image if image.size == (width, height) and box is None else image.resize((width, height), Resampling.LANCZOS, box)


def _cropped(image: "Image", width: int, height: int) -> "Image":
    # compared as floats, as the reference does
    wider = width / height <= image.width / image.height
    full_width = image.width * height // image.height if wider else width
    full_height = height if wider else image.height * width // image.width
    left, top = full_width // 2 - width // 2, full_height // 2 - height // 2
    if full_width * full_height > _MOST_CUT * width * height:
        # a strip: the same but for rounding
        x, y = image.width / full_width, image.height / full_height
        return lanczos(
            image, width, height, (left * x, top * y, min((left + width) * x, image.width), min((top + height) * y, image.height))
        )
    full = lanczos(image, full_width, full_height)
    return full if full.size == (width, height) else full.crop((left, top, left + width, top + height))


def _fitted(image: "Image", width: int, height: int) -> "Image":
    from PIL import Image

    wider = width / height < image.width / image.height
    inner_width = width if wider else max(1, image.width * height // image.height)
    inner_height = max(1, image.height * width // image.width) if wider else height
    inner = lanczos(image, inner_width, inner_height)
    if inner.size == (width, height):
        return inner
    left, top = width // 2 - inner_width // 2, height // 2 - inner_height // 2
    canvas = Image.new(image.mode, (width, height))
    canvas.paste(inner, (left, top))
    # a box without area on an edge of the picture: each pixel is scaled from that edge alone
    if wider:
        edges = ((0, 0, top), (inner_height, top + inner_height, height))
        for edge, start, end in edges:
            if end > start:
                canvas.paste(inner.resize((width, end - start), box=(0, edge, width, edge)), (0, start))
    else:
        edges = ((0, 0, left), (inner_width, left + inner_width, width))
        for edge, start, end in edges:
            if end > start:
                canvas.paste(inner.resize((end - start, height), box=(edge, 0, edge, height)), (start, 0))
    return canvas

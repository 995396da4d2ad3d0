"""Pictures that come in, as files and as objects, and pictures that go out."""

from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from sdrt import images
from sdrt.errors import SdrtError
from sdrt.images.inputs import digest, to_mask, to_soft_mask, to_unit
from sdrt.images.sizes import RESIZES
from sdrt.option_kinds import COLOUR, OPTION_KINDS
from tests.fuzz.damage import damaged_file
from tests.fuzz.drawing import Draw
from tests.fuzz.values import any_value, ascii_of, has_nan, near

_MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "I;16", "RGBX")


@cache
def _pixels() -> Any:
    return np.arange(24 * 20 * 3, dtype=np.uint8).reshape(24, 20, 3)


def picture(draw: Draw) -> Any:
    """A picture, an array that is none, or something else."""
    kind = draw.random()
    if kind < 0.35:
        mode = draw.choice(_MODES)
        size = draw.choice(((8, 8), (1, 1), (64, 48), (0, 0), (0, 5), (1, 300)))
        draw.note(f"PIL {mode} {size}")
        return Image.new(mode, size)
    if kind < 0.6:
        shape = draw.choice(((8, 8), (8, 8, 3), (8, 8, 4), (8, 8, 1), (3, 8, 8), (0, 8, 3), (8, 0), (8,), (), (1, 8, 8, 3), (8, 8, 2)))
        array = np.ones(shape, draw.choice(("u1", "f4", "f8", "i4", "u2", "?", "O", "U3", "c8")))
        draw.note(f"{array.dtype}{shape}")
        return array
    value = any_value(draw)
    draw.note(ascii_of(value))
    return value


def inputs(draw: Draw) -> str | None:
    """Pictures of a call."""
    given = picture(draw)
    call: Any = draw.choice((to_unit, to_mask, digest))
    draw.note(call.__name__)
    if call is digest:
        return None if len(digest("image", given)) == 64 else "no digest"
    found: Any = call("image", given, 16, 24)
    if found.shape[2:] != (16, 24) or has_nan(found) or found.min() < 0 or found.max() > 1:
        return f"a picture of {found.shape}, {found.min()} to {found.max()}"
    return None


_BORDERS: dict[str, Any] = {"left": 8, "top": 0, "right": 9, "bottom": 1, "blur": 2.0, "fill": "mirror", "multiple": 8, "limits": None}


def borders(draw: Draw) -> str | None:
    """Pictures that are enlarged, with options of other kinds or nearly right."""
    options = {name: good for name, good in _BORDERS.items() if draw.chance(0.5) and name != "limits"}
    for name in draw.some(list(_BORDERS), 2):
        options[name] = near(draw, _BORDERS[name]) if draw.chance(0.5) else any_value(draw)
        draw.note(f"{name} = {ascii_of(options[name])}")
    canvas, mask = images.outpaint(picture(draw), **options)
    return None if canvas.size == mask.size and (canvas.mode, mask.mode) == ("RGB", "L") else f"{canvas} and {mask}"


def scaling(draw: Draw) -> str | None:
    """Pictures and masks that are cut, filled up or seen before a colour."""
    # as for colours, the kind of the option keeps out what is none of these
    resize: Any = OPTION_KINDS["resize"].check("resize", draw.choice((*RESIZES, *RESIZES, any_value(draw))), "pass such a value")
    height, width = draw.choice((8, 64, 300)), draw.choice((8, 64, 300))
    draw.note(f"{ascii_of(resize)}, {height}x{width}")
    given: Any = picture(draw)
    if draw.chance(0.5):
        found = to_unit("image", given, height, width, resize, COLOUR.check("background", draw.choice(("navy", "#123", any_value(draw)))))
    else:
        found = to_soft_mask("mask_image", given, height, width, resize, draw.choice((None, (5, 40), (64, 48))))
    return None if found.shape[2:] == (height, width) and not has_nan(found) and 0 <= found.min() <= found.max() <= 1 else f"{found.shape}"


def files(draw: Draw) -> str | None:
    """Damaged PNG, JPEG and WebP files, with records and without."""
    if draw.chance(0.4):
        file = draw.place / draw.choice(("x.jpg", "x.webp"))
        images.save_picture(Image.fromarray(_pixels()), file, {"parameters": "a\nSteps: 20", "sdrt": "{}"})
    else:
        file = draw.copy_of(draw.choice((draw.materials.record, draw.materials.jpeg)))
    if draw.chance(0.9):
        damaged_file(draw, file, head=draw.choice((64, 4_096)))
    call = draw.choice((images.open_picture, images.read_text))
    draw.note(call.__name__)
    found: Any = call(file)
    return None if isinstance(found, Image.Image | dict) else f"a {type(found).__name__}"


def preprocessors(draw: Draw) -> str | None:
    """What makes of a picture what a ControlNet follows: as large as the picture."""
    call = draw.choice(("canny", "soft_edges", "scribble", "tile", "grey", "invert", "with_hole"))
    draw.note(call)
    subject = picture(draw)
    more = [picture(draw)] if call == "with_hole" else [any_value(draw)] if call in ("canny", "tile") and draw.chance(0.5) else []
    drawn: Any = getattr(images, call)(subject, *more)
    size = subject.size if isinstance(subject, Image.Image) else subject.shape[1::-1]
    return None if drawn.size == size else f"{drawn.size} of {size}"


def outputs(draw: Draw) -> str | None:
    """What turns floats into pictures and writes them."""
    call = draw.choice(("to_bytes", "to_pil", "grid", "save_png", "save_new_png", "picture_name", "open_picture", "read_text"))
    draw.note(call)
    file: Any = draw.place / "x.png" if draw.chance(0.7) else any_value(draw)
    if call in ("to_bytes", "to_pil"):
        array = np.zeros(draw.choice(((1, 3, 8, 8), (3, 8, 8), (1, 4, 8, 8), (0, 3, 8, 8))), draw.choice(("f4", "f8", "i4", "O")))
        if array.dtype.kind == "f" and array.size and draw.chance(0.3):
            array.flat[0] = np.nan
        value: Any = array if draw.chance(0.7) else any_value(draw)
        draw.note(ascii_of(value))
        getattr(images, call)(value)
        return "NaN becomes a pixel" if isinstance(value, np.ndarray) and value.dtype.kind == "f" and np.isnan(value).any() else None
    if call == "grid":
        images.grid([picture(draw)] * draw.randint(0, 3) if draw.chance(0.7) else any_value(draw))
        return None
    if call == "picture_name":
        title: Any = any_value(draw)
        draw.note(ascii_of(title))
        name = images.picture_name(title, draw.choice((1, any_value(draw))))
        return None if len(name.encode()) < 255 and not set(name) & set('/\\\0\n<>:"|?*\x1b') else f"a name: {name!r}"
    if call in ("open_picture", "read_text"):
        getattr(images, call)(any_value(draw))
        return None
    text: Any = {"sdrt": "{}"} if draw.chance(0.5) else {draw.choice(("", "x" * 100, "\x1b", "a\0")): any_value(draw)}
    draw.note(f"{ascii_of(file)}, {ascii_of(text)}")
    image: Any = Image.fromarray(_pixels()) if draw.chance(0.7) else picture(draw)
    try:
        getattr(images, call)(image, file, text)
    except SdrtError:
        if leftovers := [each.name for each in draw.place.iterdir() if each.name.endswith(".part")]:
            return f"left behind: {leftovers}"
        raise
    return None


GENERATORS = {
    "pictures-in": inputs,
    "picture-scaling": scaling,
    "picture-borders": borders,
    "picture-files": files,
    "pictures-out": outputs,
    "preprocessors": preprocessors,
}

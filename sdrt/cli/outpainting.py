"""``sdrt generate --outpaint``: the given picture on a larger canvas, and a mask of the borders."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdrt.errors import ConfigError
from sdrt.printable import shown

__all__ = ["Borders", "add_outpaint", "outpainted"]


@dataclass(frozen=True)
class Borders:
    """How wide the new borders of a picture are, in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def parse(cls, text: str) -> "Borders":
        """Read four numbers with commas between them.

        Raises
        ------
        argparse.ArgumentTypeError : another text
        """
        try:
            left, top, right, bottom = map(int, text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be LEFT,TOP,RIGHT,BOTTOM in pixels, got {shown(text)}") from None
        return cls(left, top, right, bottom)


def add_outpaint(command: argparse.ArgumentParser) -> None:
    """Add the flag to a command."""
    group = command.add_argument_group("out-painting")
    group.add_argument(
        "--outpaint",
        type=Borders.parse,
        metavar="LEFT,TOP,RIGHT,BOTTOM",
        help="draw borders of so many pixels around --image, each side grown to a multiple of 8; the mask is made from them",
    )


def outpainted(pictures: Mapping[str, Any], borders: Borders | None) -> dict[str, Any]:
    """Return the pictures of a call, ``image`` with new borders and ``mask_image`` their mask; without borders as they are.

    Raises
    ------
    ConfigError : no picture to enlarge, or a mask beside it
    ImageError : as of :func:`sdrt.images.outpaint`
    """
    if borders is None:
        return dict(pictures)
    if "image" not in pictures or "mask_image" in pictures:
        got = "--mask-image" if "image" in pictures else "no --image"
        raise ConfigError(
            f"--outpaint needs --image and makes the mask itself, got {got}; {'leave it out' if 'image' in pictures else 'add it'}"
        )
    from sdrt.images import outpaint

    images = pictures["image"] if isinstance(pictures["image"], list) else [pictures["image"]]
    enlarged = [outpaint(image, left=borders.left, top=borders.top, right=borders.right, bottom=borders.bottom) for image in images]
    return {**pictures, "image": [canvas for canvas, _ in enlarged], "mask_image": [mask for _, mask in enlarged]}

"""Every job on one sheet, drawn with the embedded models.

    python -m benchmarks.jobs [--png docs/jobs.png] [--backend numpy]

A row for each job: the pictures that it is given, and what it draws from them. Prompts stand below the pictures.
"""

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw

import sdrt

__all__ = ["Cell", "ellipse", "rectangle", "rows", "sheet"]

# A caption and its picture.
Cell: TypeAlias = tuple[str, Image.Image]

_SIDE, _LABEL, _GAP, _HEAD = 128, 40, 6, 18  # pixels of a cell, of its caption, between cells, and of a row's title
_CIRCLE, _STAR = "a red circle on a blue background", "a yellow star on a blue background"


def rows(backend: str) -> Iterator[tuple[str, list[Cell]]]:
    """Draw the sheet, row by row."""
    with sdrt.load("nano", backend) as pipe:
        circle = pipe.generate(_CIRCLE, seed=93).images[0]
        yield (
            "text to image",
            [(f"{_CIRCLE}, seed {seed}", pipe.generate(_CIRCLE, seed=seed).images[0]) for seed in (93, 7)]
            + [("seed 93, towards 7 by 0.3", pipe.generate(_CIRCLE, seed=93, subseed=7, subseed_strength=0.3).images[0])],
        )
        yield (
            "image to image",
            [("the picture", circle)]
            + [
                (f"{_STAR}, strength {strength:g}", pipe.generate(_STAR, image=circle, strength=strength, seed=5).images[0])
                for strength in (0.3, 0.6, 0.8, 1.0)
            ],
        )
        hole = ellipse((20, 20, 108, 108))
        map_of_strengths = Image.linear_gradient("L").resize((_SIDE, _SIDE)).rotate(90)
        yield (
            "in-painting, with the plain model",
            [
                ("the picture", circle),
                ("the mask", hole),
                (_STAR, pipe.generate(_STAR, image=circle, mask_image=hole, seed=5).images[0]),
                ("a map of strengths", map_of_strengths),
                (
                    "a green heart on a white background",
                    pipe.generate(
                        "a green heart on a white background", image=circle, mask_image=map_of_strengths, mask_mode="strength", seed=5
                    ).images[0],
                ),
            ],
        )
        canvas, border = sdrt.images.outpaint(circle, left=32, right=32, top=32, bottom=32)
        photograph = circle.resize((512, 512))
        spot = ellipse((340, 340, 470, 470), 512)
        yield (
            "out-painting; only what the mask covers",
            [
                ("the canvas", canvas),
                ("its mask", border),
                ("a small red circle on a blue background", _outpainted(pipe, canvas, border)),
                ("a mask in a picture of 512x512", spot),
                (_STAR, pipe.generate(_STAR, image=photograph, mask_image=spot, only_masked=True, masked_content="fill", seed=5).images[0]),
            ],
        )
    with sdrt.load("nano-inpaint", backend) as pipe:
        half = rectangle((64, 0, 128, 128))
        yield (
            "in-painting, with nano-inpaint",
            [
                ("the picture", circle),
                ("the mask", hole),
                (_STAR, pipe.generate(_STAR, image=circle, mask_image=hole, seed=5).images[0]),
                ("the mask", half),
                (_CIRCLE, pipe.generate(_CIRCLE, image=circle, mask_image=half, seed=5).images[0]),
            ],
        )
    with sdrt.load("nano", backend, controlnet="nano-edges") as pipe:
        star = pipe.generate(
            "a green star on a white background",
            control_image=circle,
            controlnet_conditioning_scale=0.0,
            control_preprocessor="canny",
            seed=3,
        ).images[0]
        scribble = _scribble()
        yield (
            "ControlNet: nano-edges",
            [
                ("a picture", star),
                ("its edges (canny)", sdrt.images.canny(star)),
                (
                    "a purple shape on a yellow background",
                    pipe.generate("a purple shape on a yellow background", control_image=star, control_preprocessor="canny", seed=5).images[
                        0
                    ],
                ),
                ("a scribble", scribble),
                (
                    "a red shape on a blue background",
                    pipe.generate("a red shape on a blue background", control_image=scribble, seed=5).images[0],
                ),
            ],
        )
    with sdrt.load("nano", backend, loras=["nano-outline"]) as pipe:
        prompts = (_CIRCLE, "a cyan heart on a pink background", "a white star on a red background")
        drawn = [(f"{prompt}, with nano-outline", pipe.generate(prompt, seed=93).images[0]) for prompt in prompts]
        yield "LoRA", [(f"{_CIRCLE}, without", circle), *drawn]


def sheet(drawn: "list[tuple[str, list[Cell]]]") -> Image.Image:
    """Arrange the rows, each below its title: captions and pictures, which are scaled to one size."""
    width = max(len(cells) for _, cells in drawn) * (_SIDE + _GAP) + _GAP
    height = len(drawn) * (_HEAD + _SIDE + _LABEL + _GAP) + _GAP
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for row, (title, cells) in enumerate(drawn):
        top = _GAP + row * (_HEAD + _SIDE + _LABEL + _GAP)
        draw.text((_GAP, top), title, "black", font_size=14)
        for column, (caption, picture) in enumerate(cells):
            left = _GAP + column * (_SIDE + _GAP)
            image.paste(picture.convert("RGB").resize((_SIDE, _SIDE)), (left, top + _HEAD))
            draw.multiline_text((left, top + _HEAD + _SIDE + 2), textwrap.fill(caption, 22), (70, 70, 70), font_size=11, spacing=1)
    return image


def _outpainted(pipe: sdrt.Pipeline, canvas: Image.Image, border: Image.Image) -> Image.Image:
    prompt = "a small red circle on a blue background"
    return pipe.generate(prompt, image=canvas, mask_image=border, masked_content="fill", strength=0.9, seed=5).images[0]


def ellipse(box: tuple[int, int, int, int], side: int = _SIDE) -> Image.Image:
    """Return a mask that is white in an ellipse."""
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask


def rectangle(box: tuple[int, int, int, int]) -> Image.Image:
    """Return a mask that is white in a rectangle."""
    mask = Image.new("L", (_SIDE, _SIDE))
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    return mask


def _scribble() -> Image.Image:
    """Return a triangle as a hand draws it: its lines are crooked and do not quite meet."""
    picture = Image.new("RGB", (_SIDE, _SIDE))
    points = [(62, 26), (52, 47), (41, 66), (28, 94), (55, 97), (79, 94), (101, 97), (92, 75), (81, 55), (66, 29)]
    ImageDraw.Draw(picture).line(points, fill="white", width=2)
    return picture


def main() -> None:
    """Draw the sheet and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--png", type=Path, default=Path("docs/jobs.png"))
    parser.add_argument("--backend", default="numpy")
    arguments = parser.parse_args()
    sheet(list(rows(arguments.backend))).save(arguments.png, optimize=True)


if __name__ == "__main__":
    main()

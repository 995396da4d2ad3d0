"""Make a sheet of generated pictures with their prompts, to be viewed: numbers do not show everything.

python -m training.contact_sheet --model sdrt/models/nano --to training/contact_sheet.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from training.evaluate import Drawer, held_out_scenes
from training.export import GUIDANCE_SCALE, NUM_INFERENCE_STEPS
from training.judge import Picture
from training.scenes import PICTURE

COLUMNS = 8
_LABEL = 34  # pixels of label under each picture
_LINE = 24  # characters in a line of the label
_COLOURS = 255  # of the sheet's palette, which keeps the file small
PROMPTS = (
    "a red circle on a blue background",
    "a heart",
    "red circle",
    "a photo of a blue square",
    "a yellow star on a black background",
    "a small white ring in the top left corner on a purple background",
    "a large green triangle on an orange background",
    "a pink diamond on the right on a cyan background",
    "a red circle and a blue square on a white background",
    "a yellow star above a green square on a black background",
    "a pink heart below a white ring on a blue background",
    "a green triangle and an orange diamond",
    "A PURPLE CROSS!",
    "large black heart, yellow background",
    "an image of a star in the bottom right corner",
    "",
)  # fmt: skip


def _lines(prompt: str) -> str:
    """Break the prompt into lines that fit under a picture."""
    lines = [""]
    for word in (prompt or "(empty prompt)").split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _LINE:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines[:3])


def sheet(pictures: list[Picture], prompts: list[str]) -> Image.Image:
    """Arrange pictures in rows of `COLUMNS`, each with its prompt below."""
    rows = -(-len(pictures) // COLUMNS)
    image = Image.new("RGB", (COLUMNS * (PICTURE + 4), rows * (PICTURE + _LABEL)), "white")
    pen = ImageDraw.Draw(image)
    for index, (picture, prompt) in enumerate(zip(pictures, prompts, strict=True)):
        left, top = index % COLUMNS * (PICTURE + 4) + 2, index // COLUMNS * (PICTURE + _LABEL)
        image.paste(Image.fromarray(picture), (left, top))
        pen.multiline_text((left, top + PICTURE), _lines(prompt), fill="black", font_size=10, spacing=0)
    return image.quantize(_COLOURS, dither=Image.Dither.NONE)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--to", type=Path, required=True, help="PNG file")
    parser.add_argument("--singles", type=int, default=16, help="held-out prompts with one object")
    parser.add_argument("--pairs", type=int, default=16, help="held-out prompts with two objects")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(2)
    drawer = Drawer.load(options.model, "dpm", NUM_INFERENCE_STEPS, GUIDANCE_SCALE)
    prompts = list(PROMPTS)
    for count, pairs in ((options.singles, False), (options.pairs, True)):
        prompts += [prompt for _, prompt in held_out_scenes(count, pairs=pairs, seed=options.seed)]
    seeds = list(range(options.seed, options.seed + len(prompts)))
    sheet(drawer.draw(prompts, seeds), prompts).save(options.to, optimize=True)
    print(options.to, options.to.stat().st_size, "bytes")


if __name__ == "__main__":
    main()

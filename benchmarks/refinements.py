"""The refinements on one sheet, drawn with the embedded models.

    python -m benchmarks.refinements [--png docs/refinements.png] [--backend numpy]

A row for each: what it is given, and what it draws from that. IP-Adapters and T2I-Adapters are missing, as none is trained for the embedded
model.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

import sdrt
from benchmarks.jobs import Cell, ellipse, rectangle, sheet

__all__ = ["rows"]

_CIRCLE, _STAR = "a red circle on a blue background", "a yellow star on a blue background"


def rows(backend: str) -> Iterator[tuple[str, list[Cell]]]:
    """Draw the sheet, row by row."""
    with sdrt.load("nano", backend) as pipe:

        def draw(prompt: str, negative_prompt: str = "", **options: Any) -> Image.Image:
            return pipe.generate(prompt, negative_prompt, **({"seed": 93} | options)).images[0]

        changing = (
            "a red circle on a white background",
            "a [red:blue:0.3] circle on a white background",
            "a [red|blue] circle on a white background",
            "a red [circle:star:0.2] on a white background",
            "a red circle on a [white:green:0.2] background",
        )
        yield "prompts that change", [(prompt, draw(prompt)) for prompt in changing]
        left, right = rectangle((0, 0, 63, 127)), rectangle((64, 0, 127, 127))
        halves = [
            sdrt.PromptRegion(prompt="a red circle on a white background", mask=left),
            sdrt.PromptRegion(prompt="a blue square on a white background", mask=right),
        ]
        spot = sdrt.PromptRegion(prompt="a yellow star on a blue background", mask=ellipse((24, 24, 104, 104)))
        yield (
            "several prompts: AND, regions",
            [
                ("a red star AND a blue star", draw("a red star AND a blue star")),
                (f"{_CIRCLE} AND green :-0.5", draw(f"{_CIRCLE} AND green :-0.5")),
                ("the right half", right),
                ("a red circle to the left, a blue square to the right", draw("a white background", regions=halves)),
                ("a yellow star inside an ellipse", draw("a red background", regions=[spot])),
            ],
        )
        yield (
            "guidance far too strong, and what tames it",
            [
                ("scale 3", draw(_CIRCLE, guidance_scale=3.0)),
                ("scale 12", draw(_CIRCLE, guidance_scale=12.0)),
                ("scale 12, rescaled by 0.7", draw(_CIRCLE, guidance_scale=12.0, guidance_rescale=0.7)),
                ("scale 12, APG", draw(_CIRCLE, guidance_scale=12.0, apg=sdrt.APG(norm_threshold=0.5))),
                (
                    "scale 12, dynamic thresholding",
                    draw(_CIRCLE, guidance_scale=12.0, dynamic_thresholding=sdrt.DynamicThresholding(mimic_scale=3.0)),
                ),
            ],
        )
        yield (
            "guidance: when, and of what",
            [
                ("from 0.2 to 0.7 of the run", draw(_STAR, guidance_start=0.2, guidance_end=0.7)),
                ("rising as a cosine", draw(_STAR, guidance_schedule="cosine")),
                ("perturbed attention, 3", draw(_STAR, pag_scale=3.0)),
                ("FreeU", draw(_STAR, freeu=sdrt.FreeU(b1=1.2, b2=1.4, s1=0.9, s2=0.2))),
                ("half of the tokens merged", draw(_STAR, token_merging=0.5)),
            ],
        )
        small = draw(_CIRCLE)
        yield (
            "hi-res fix, 128 to 256 pixels",
            [
                ("first pass", small),
                ("in one pass of 256", draw(_CIRCLE, height=256, width=256)),
                ("lanczos, 0.3", draw(_CIRCLE, hires_scale=2.0, hires_upscaler="lanczos", hires_denoising=0.3)),
                ("latent, 0.5", draw(_CIRCLE, hires_scale=2.0, hires_upscaler="latent", hires_denoising=0.5)),
                (
                    "lanczos, 0.5, then a yellow circle",
                    draw(
                        _CIRCLE,
                        hires_scale=2.0,
                        hires_upscaler="lanczos",
                        hires_denoising=0.5,
                        hires_prompt="a yellow circle on a blue background",
                    ),
                ),
            ],
        )
        corner = (32, 32, 80, 80)
        yield (
            "upscalers: a part of the picture, 4 times as large",
            [(name, _enlarged(small, name, corner)) for name in ("nearest", "bicubic", "lanczos", "nano-upscale")],
        )
    with sdrt.load("nano", backend, preview_vae="taesd") as pipe:
        steps = pipe.steps(_CIRCLE, seed=93)
        early = next(step for step in steps if step.index == steps.num_steps // 4)
        yield (
            f"previews of step {early.index + 1} of {early.num_steps}",
            [
                ("latent", early.decode(0, "latent")),
                ("taesd", early.decode(0, "taesd")),
                ("vae", early.decode(0, "vae")),
                ("the picture", steps.result().images[0]),
            ],
        )


def _enlarged(picture: Image.Image, name: str, box: tuple[int, int, int, int]) -> Image.Image:
    with sdrt.load_upscaler(name) as upscaler:
        left, top, right, bottom = (4 * side for side in box)
        return upscaler(picture, 4).crop((left, top, right, bottom))


def main() -> None:
    """Draw the sheet and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--png", type=Path, default=Path("docs/refinements.png"))
    parser.add_argument("--backend", default="numpy")
    arguments = parser.parse_args()
    sheet(list(rows(arguments.backend))).save(arguments.png, optimize=True)


if __name__ == "__main__":
    main()

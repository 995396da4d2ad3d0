"""What each method of guidance does to pictures of the embedded model: how many are right, how far colours go, rows of the U-Net.

    python -m benchmarks.guidance [--count 40] [--json benchmarks/results/guidance.json]

Scenes that nano never saw, at its own scale of 3 and at strong ones; `training.judge` reads the pictures. Strong guidance oversaturates:
the deviation of the final latents grows with the scale, and colours are no longer those of the palette.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import sdrt
from sdrt.arrays import Array
from sdrt.pipeline.observer import Unobserved
from training.evaluate import held_out_scenes, scores
from training.judge import judge

__all__ = ["METHODS", "measure"]

# By name: options of generate. A radius of 0.5 is for nano's 4 x 16 x 16 latents.
METHODS: Mapping[str, dict[str, Any]] = {
    "scale 3": {},
    "scale 3, interval 0 to 0.5": {"guidance_end": 0.5},
    "scale 3, interval 0.1 to 0.8": {"guidance_start": 0.1, "guidance_end": 0.8},
    "scale 3, linear": {"guidance_schedule": "linear"},
    "scale 3, cosine": {"guidance_schedule": "cosine"},
    "scale 8": {"guidance_scale": 8.0},
    "scale 8, APG": {"guidance_scale": 8.0, "apg": sdrt.APG(norm_threshold=0.5)},
    "scale 8, dynamic thresholding": {"guidance_scale": 8.0, "dynamic_thresholding": sdrt.DynamicThresholding(mimic_scale=3.0)},
    "scale 15": {"guidance_scale": 15.0},
    "scale 15, APG": {"guidance_scale": 15.0, "apg": sdrt.APG(norm_threshold=0.5)},
    "scale 15, dynamic thresholding": {"guidance_scale": 15.0, "dynamic_thresholding": sdrt.DynamicThresholding(mimic_scale=3.0)},
}


class Rows(Unobserved):
    """An observer that counts the samples of the U-Net."""

    def __init__(self) -> None:
        self.samples = 0

    def called(self, component: str, inputs: Mapping[str, Array], _outputs: Mapping[str, Array]) -> None:
        self.samples += len(inputs["sample"]) if component == "unet" else 0


def measure(pipe: sdrt.Pipeline, options: Mapping[str, Any], count: int, *, steps: int = 12, seed: int = 1000) -> dict[str, float]:
    """Draw so many scenes that the model never saw.

    Returns
    -------
    ``right`` and ``colours`` in per cent of the pictures, ``deviation`` of the final latents, ``rows`` of the U-Net for each picture
    """
    scenes, rows = held_out_scenes(count, pairs=False, seed=seed), Rows()
    pictures: list[Any] = []
    latents: list[Array] = []
    with pipe.observing(lambda: rows):
        for first in range(0, count, 8):
            prompts = [prompt for _, prompt in scenes[first : first + 8]]
            result = pipe.generate(prompts, seed=seed + first, num_inference_steps=steps, **options)
            pictures += result.images
            latents.append(result.latents)
    right = scores([judge(np.asarray(picture), scene) for picture, (scene, _) in zip(pictures, scenes, strict=True)])
    deviation = round(float(np.concatenate(latents).std()), 3)
    return {"right": right["all"], "colours": right["colour"], "deviation": deviation, "rows": rows.samples / count}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = {}
    with sdrt.load("nano", threads=1) as pipe:
        for name, options in METHODS.items():
            results[name] = measure(pipe, options, arguments.count)
            print(f"{name:34}", results[name], flush=True)
    if arguments.json:
        document = {"benchmark": "guidance", "pictures": arguments.count, "results": results}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

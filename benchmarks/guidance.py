"""What each method of guidance does to pictures of the embedded model: right pictures, saturation, clipping, rows of the U-Net.

    python -m benchmarks.guidance [--count 40] [--json benchmarks/results/guidance.json]

Pictures are of scenes that nano never saw, at its own scale and at a strong one. `training.judge` reads them. *Saturation* is how far a
picture's colours go beyond those of the same scenes drawn at scale 3, as the mean of (largest - smallest) channel in 255ths; *clipped* the
share of the decoder's values outside [-1, 1].
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import sdrt
from sdrt.arrays import Array
from training.evaluate import held_out_scenes
from training.judge import judge

__all__ = ["METHODS", "measure"]

STRONG = 15.0

# By name: options of generate. Radii are for nano's 4 x 16 x 16 latents.
METHODS: Mapping[str, dict[str, Any]] = {
    "scale 3": {},
    "scale 3, interval 0 to 0.6": {"guidance_end": 0.6},
    "scale 3, interval 0.1 to 0.8": {"guidance_start": 0.1, "guidance_end": 0.8},
    "scale 3, linear": {"guidance_schedule": "linear"},
    "scale 3, cosine": {"guidance_schedule": "cosine"},
    "scale 15": {"guidance_scale": STRONG},
    "scale 15, APG": {"guidance_scale": STRONG, "apg": sdrt.APG(norm_threshold=2.5)},
    "scale 15, APG, eta alone": {"guidance_scale": STRONG, "apg": sdrt.APG(norm_threshold=0, momentum=0)},
    "scale 15, dynamic thresholding": {"guidance_scale": STRONG, "dynamic_thresholding": sdrt.DynamicThresholding(mimic_scale=3.0)},
    "scale 15, rescale 0.7": {"guidance_scale": STRONG, "guidance_rescale": 0.7},
}


class Rows:
    """An observer that counts the samples of the U-Net, and the decoder's values beyond [-1, 1]."""

    def __init__(self) -> None:
        self.samples, self.values, self.beyond = 0, 0, 0

    def begins(self, beginning: sdrt.Beginning) -> None:
        pass

    def called(self, component: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        if component == "unet":
            self.samples += len(inputs["sample"])
        elif component == "vae_decoder":
            self.values += outputs["image"].size
            self.beyond += int((np.abs(outputs["image"]) > 1).sum())

    def stepped(self, step: sdrt.CompletedStep) -> None:
        pass

    def ends(self, result: sdrt.Result) -> None:
        pass

    def fails(self, error: BaseException) -> None:
        pass


def measure(pipe: sdrt.Pipeline, options: Mapping[str, Any], count: int, seed: int = 1000, batch: int = 8) -> dict[str, float]:
    """Draw ``count`` scenes that the model never saw, and return what the module's docstring lists."""
    scenes, rows = held_out_scenes(count, pairs=False, seed=seed), Rows()
    pictures: list[Any] = []
    with pipe.observing(lambda: rows):
        for first in range(0, count, batch):
            prompts = [prompt for _, prompt in scenes[first : first + batch]]
            pictures += pipe.generate(prompts, seed=seed + first, **options).images
    arrays = [np.asarray(picture) for picture in pictures]
    right = [judge(array, scene).all for array, (scene, _) in zip(arrays, scenes, strict=True)]
    chroma = [float((array.max(axis=2).astype(float) - array.min(axis=2)).mean()) for array in arrays]
    return {
        "right": round(100 * float(np.mean(right)), 1),
        "chroma": round(float(np.mean(chroma)), 1),
        "clipped": round(100 * rows.beyond / rows.values, 1),
        "rows": rows.samples / count,
    }


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
        arguments.json.write_text(json.dumps({"count": arguments.count, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

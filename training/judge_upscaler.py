"""Measure an upscaler of scale 2 on held-out scenes, beside Lanczos: drawn at 256 pixels, reduced to 128, and enlarged again.

python -m training.judge_upscaler [--upscaler nano-upscale] [--scenes 64]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from PIL import Image

from sdrt.metrics import psnr
from sdrt.upscaling import Upscaler, load_upscaler
from training.shapes import Field
from training.train_upscaler import pair


def mean_psnr(upscalers: list[Upscaler], scenes: int, seed: int) -> list[float]:
    """Return of each upscaler the mean over scenes of the PSNR in dB; both sizes are pictures of bytes."""
    rng = np.random.default_rng(seed)
    pairs = [tuple(map(_picture, pair(rng, unseen=True))) for _ in range(scenes)]
    return [float(np.mean([_psnr(upscaler(small, 2), large) for large, small in pairs])) for upscaler in upscalers]


def _picture(values: Field) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(values, 0, 1).transpose(1, 2, 0) * 255).astype(np.uint8))


def _psnr(found: Any, wanted: Any) -> float:
    return psnr(np.asarray(found, float), np.asarray(wanted, float), 255.0)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upscaler", default="nano-upscale")
    parser.add_argument("--scenes", type=int, default=64)
    options = parser.parse_args()
    names = (options.upscaler, "lanczos", "bicubic")
    for name, found in zip(names, mean_psnr([load_upscaler(name) for name in names], options.scenes, seed=90_000), strict=True):
        print(f"{name:30} {found:.2f} dB")


if __name__ == "__main__":
    main()

"""Fit the linear map of the model's latents to colours by which previews are drawn without a network: least squares over drawn scenes.

    python -m training.fit_latent_rgb --model sdrt/models/nano

Prints the rows of ``latent_rgb`` for the model's sdrt.json (one for each channel, then what is added), and the map's PSNR on held-out
scenes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from training.encode import load_model_encoders
from training.scenes import place, render, sample

_CELL = 8  # pixels along a side of one latent
_SCENES = 512
_AT_ONCE = 32
_PAIR_SHARE = 0.4
F64 = npt.NDArray[np.float64]


def cells(model: Path, count: int, rng: np.random.Generator, *, unseen: bool) -> tuple[F64, F64]:
    """Return the latents of scenes with a column of ones, f64[n, 5], and the mean colour of each one's pixels in -1..1, f64[n, 3]."""
    encoders = load_model_encoders(model)
    latents, colours = [], []
    for _ in range(count // _AT_ONCE):
        drawn = [render(place(sample(rng, pairs=_PAIR_SHARE, unseen=unseen), rng))[0] for _ in range(_AT_ONCE)]
        latents.append(encoders.latents(drawn).numpy().transpose(0, 2, 3, 1).reshape(-1, 4))
        pooled = torch.nn.functional.avg_pool2d(torch.from_numpy(np.stack(drawn)), _CELL)
        colours.append(pooled.numpy().transpose(0, 2, 3, 1).reshape(-1, 3))
    x = np.concatenate(latents).astype(np.float64)
    return np.column_stack([x, np.ones(len(x))]), np.concatenate(colours).astype(np.float64)


def fit(model: Path) -> tuple[F64, float]:
    """Return the map f64[5, 3], and its PSNR in dB (peak 255) on cells of held-out scenes."""
    x, colours = cells(model, _SCENES, np.random.default_rng(0), unseen=False)
    solved = np.round(np.linalg.lstsq(x, colours, rcond=None)[0], 4)
    x, colours = cells(model, _SCENES // 4, np.random.default_rng(1), unseen=True)
    squared = ((np.clip(x @ solved, -1.0, 1.0) - colours) / 2.0) ** 2
    return solved, float(-10.0 * np.log10(squared.mean()))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    torch.set_num_threads(1)
    rows, psnr = fit(parser.parse_args().model)
    print(json.dumps(rows.tolist()))
    print(f"PSNR of 8x8 cells: {psnr:.1f} dB")


if __name__ == "__main__":
    main()

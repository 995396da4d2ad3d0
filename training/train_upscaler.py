"""Train a compact upscaler of scale 2 for the model's pictures: scenes drawn at 256 pixels, and the same reduced to 128.

    python -m training.train_upscaler --out DIR --minutes 6

Writes DIR/upscaler.pt every two minutes and at the end. Draws its own scenes, and needs no other stage. The last layer begins at the
solution of least squares behind random filters, which is better than Lanczos already; then all layers are trained.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate, pixel_unshuffle, unfold

from sdrt.backends.torch.upscaler import build_upscaler
from training import checkpoints
from training.loop import LoopSettings, train
from training.scenes import PICTURE, Disc, Placement, place, render, sample
from training.shapes import Field
from training.stage import in_team
from training.team import Team

CONFIG = {"_class_name": "SRVGGNetCompact", "num_feat": 64, "num_conv": 1, "upscale": 2, "act_type": "prelu"}
_BATCH = 8
_CROP = 40  # pixels of a reduced picture's side
_NOISE = 2.0 / 255  # deviation of what the model's decoder leaves in flat colours
_CROPS = 250  # of the least squares
_FLAT = 0.7  # share of random filters that see no flat colour
_BIAS = 0.15  # deviation
_PAIRS = 0.5  # share of scenes with two objects


def enlarged(placement: Placement) -> Placement:
    """Return the same scene at twice the size."""
    discs = [Disc(each.shape, 2 * each.x, 2 * each.y, 2 * each.radius, each.rgb) for each in placement.discs]
    return replace(placement, discs=tuple(discs))


def reduced(picture: Field) -> Field:
    """Average squares of two pixels: f32[3, 2 h, 2 w] -> f32[3, h, w]."""
    channels, height, width = picture.shape
    return np.asarray(picture.reshape(channels, height // 2, 2, width // 2, 2).mean((2, 4)), np.float32)


def pair(rng: np.random.Generator, *, unseen: bool) -> tuple[Field, Field]:
    """Draw a scene: f32[3, 256, 256] in 0..1, and the same reduced to 128."""
    placement = enlarged(place(sample(rng, pairs=_PAIRS, unseen=unseen), rng))
    large = render(placement, side=2 * PICTURE)[0] * np.float32(0.5) + np.float32(0.5)
    return large, reduced(large)


def _crop(rng: np.random.Generator) -> tuple[Field, Field]:
    """Draw a part of a scene with an outline in it."""
    while True:
        placement = enlarged(place(sample(rng, pairs=_PAIRS, unseen=False), rng))
        left, top = (2 * int(each) for each in rng.integers(0, PICTURE - _CROP + 1, 2))
        picture, nearest = render(placement, left, top, 2 * _CROP)
        if np.abs(nearest).min() < 1:
            large = picture * np.float32(0.5) + np.float32(0.5)
            small = reduced(large)
            return large, small + rng.normal(0, rng.random() * _NOISE, small.shape).astype(np.float32)


@torch.no_grad()
def solve_last_layer(network: Any) -> None:
    """Give all layers but the last random filters, of which most see no flat colour, and the last one the solution of least squares."""
    rng, layers = np.random.default_rng(0), list(network.body)
    for layer in layers[:-1]:
        if isinstance(layer, torch.nn.PReLU):
            layer.weight.fill_(0.1)
        else:
            filters = torch.randn_like(layer.weight)
            filters -= filters.mean((2, 3), keepdim=True) * (torch.rand(len(filters), 1, 1, 1) < _FLAT)
            layer.weight.copy_(2 * filters / filters.flatten(1).norm(dim=1)[:, None, None, None])
            layer.bias.copy_(_BIAS * torch.randn_like(layer.bias))
    last = layers[-1]
    count = last.weight[0].numel() + 1
    products, answers = torch.zeros(count, count, dtype=torch.float64), torch.zeros(count, len(last.weight), dtype=torch.float64)
    for large, small in (map(torch.from_numpy, _crop(rng)) for _ in range(_CROPS)):
        wanted = pixel_unshuffle(large[None] - interpolate(small[None], scale_factor=2), 2)[0].flatten(1).T.double()
        seen = unfold(network.body[:-1](small[None]), 3, padding=1)[0].T.double()
        seen = torch.cat([seen, seen.new_ones(len(seen), 1)], 1)
        products += seen.T @ seen
        answers += seen.T @ wanted
    solution = torch.linalg.solve(products + 1e-4 * products.diagonal().mean() * torch.eye(count, dtype=torch.float64), answers)
    last.weight.copy_(solution[:-1].T.reshape(last.weight.shape))
    last.bias.copy_(solution[-1])


def load_upscaler(checkpoint: Path) -> torch.nn.Module:
    """Load the moving average from a checkpoint, finished or not."""
    network = build_upscaler(CONFIG, row_by_row=False)
    checkpoints.load_average(checkpoint, list(network.parameters()))
    return network


def run(out: Path, minutes: float, team: Team) -> None:
    """Train, and write OUT/upscaler.pt."""
    torch.manual_seed(0)  # the same first weights in every member
    network = build_upscaler(CONFIG, row_by_row=False)
    solve_last_layer(network)
    rng = np.random.default_rng()  # unseeded on purpose: members, and a resumed run, must not draw the same batches

    def loss(_progress: float) -> dict[str, torch.Tensor]:
        large, small = (torch.from_numpy(np.stack(each)) for each in zip(*(_crop(rng) for _ in range(_BATCH)), strict=True))
        difference = (network(small)[0] - large).abs()
        return {"loss": difference.mean() + difference.square().mean().sqrt(), "l1": difference.mean()}

    settings = LoopSettings(
        checkpoint=out / "upscaler.pt", minutes=minutes, learning_rate=1e-3, weight_decay=0.0, average=0.99, warmup_steps=20
    )
    train(list(network.parameters()), loss, settings, team)
    team.leave()


if __name__ == "__main__":
    in_team("training.train_upscaler", __doc__, run, minutes=6.0)

"""Train the autoencoder on rendered pictures: 128x128 pixels to 16x16 cells of four channels.

    python -m training.train_vae --out DIR --minutes 12

Writes DIR/vae (diffusers layout, latents of mean 0 and variance 1 after `scaling_factor`). Resumes after an interruption.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from training.loop import LoopSettings, train
from training.scenes import PICTURE, Placement, place, render, sample
from training.stage import in_team
from training.team import Team

WINDOW = 64  # pixels along a side of the windows used in the first part of the training
_WINDOW_SHARE = 0.6  # of the time, on windows around an outline, where nearly all the error is
_EDGE_WEIGHT, _EDGE_WIDTH = 5.0, 2.5  # additional weight on an outline, and the pixels over which it falls by e
_NOISE = (0.08, 0.12)  # standard deviation of noise on the latents, first and last: makes them robust, instead of a KL term
_PULL = 0.05  # weight of the loss that keeps each channel near mean 0 and deviation 1
_LOG_VARIANCE = -8.0  # of the exported encoder, whose samples equal its means to within 0.02
_MEASURED = 1024  # pictures used to measure mean and deviation


def new_vae() -> AutoencoderKL:
    """Make an untrained autoencoder. Two norm groups: more would destroy flat colour at 16 channels."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=PICTURE,
        scaling_factor=0.18215,
    )


def _corner(placement: Placement, rng: np.random.Generator) -> tuple[int, int]:
    """Return left and top of a window around a point of some object's outline."""
    disc = placement.discs[int(rng.integers(len(placement.discs)))]
    turn = rng.uniform(0.0, 2.0 * np.pi)
    point = np.array([disc.x + disc.radius * np.cos(turn), disc.y + disc.radius * np.sin(turn)])
    left, top = np.clip(point - WINDOW / 2.0 + rng.uniform(-16.0, 16.0, 2), 0, PICTURE - WINDOW).astype(int)
    return int(left), int(top)


def batch(rng: np.random.Generator, count: int, windows: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures f32[n, 3, s, s] and distances f32[n, 1, s, s], whole or as windows; training scenes only."""
    drawn = []
    for _ in range(count):
        placement = place(sample(rng, pairs=0.3, unseen=False), rng)
        drawn.append(render(placement, *_corner(placement, rng), WINDOW) if windows else render(placement))
    pictures, nearest = (torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))
    return pictures.to(memory_format=torch.channels_last), nearest[:, None]


def picture_loss(drawn: torch.Tensor, target: torch.Tensor, nearest: torch.Tensor) -> torch.Tensor:
    """Return L1 + 2 L2, with more weight on outlines, plus the L1 of the error averaged over 8x8 cells, which keeps flat colour right."""
    weight = 1.0 + _EDGE_WEIGHT * torch.exp(-nearest.abs() / _EDGE_WIDTH)
    error = drawn.float() - target
    return (weight * (error.abs() + 2.0 * error**2)).mean() + functional.avg_pool2d(error, 8).abs().mean()


def _fold(vae: AutoencoderKL, mean: torch.Tensor, deviation: torch.Tensor) -> None:
    """Give the encoder's means, times `scaling_factor`, mean 0 and deviation 1, without changing any reconstruction."""
    factor = vae.config.scaling_factor
    channels = mean.numel()
    with torch.no_grad():
        first, last = vae.quant_conv, vae.post_quant_conv
        scale = 1.0 / (deviation * factor)
        first.weight[:channels] *= scale[:, None, None, None]
        first.bias[:channels] = (first.bias[:channels] - mean) * scale
        first.weight[channels:] = 0.0
        first.bias[channels:] = _LOG_VARIANCE
        last.bias += last.weight[:, :, 0, 0] @ mean
        last.weight *= (deviation * factor)[None, :, None, None]


@torch.no_grad()
def _normalise(vae: AutoencoderKL, rng: np.random.Generator) -> None:
    latents = torch.cat([vae.encode(batch(rng, 16, windows=False)[0]).latent_dist.mean for _ in range(_MEASURED // 16)])
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    print("latent mean", mean.tolist(), "deviation", deviation.tolist(), flush=True)
    _fold(vae, mean, deviation)


@torch.no_grad()
def quality(vae: AutoencoderKL, rng: np.random.Generator, count: int = 64) -> tuple[float, float]:
    """Return the PSNR in dB (peak 255) of training pictures through encoder and decoder: overall, and within 4 pixels of an outline."""
    pictures, nearest = batch(rng, count, windows=False)
    restored = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in torch.split(pictures, 16)])
    squared = ((restored.clamp(-1.0, 1.0) - pictures) / 2.0) ** 2
    near_outline = (nearest.abs() < 4.0).expand_as(squared)
    return float(-10.0 * squared.mean().log10()), float(-10.0 * squared[near_outline].mean().log10())


def run(out: Path, minutes: float, team: Team) -> None:
    """Train, and write OUT/vae."""
    torch.manual_seed(0)
    vae = new_vae().to(memory_format=torch.channels_last)
    rng = np.random.default_rng()  # unseeded on purpose: members, and a resumed run, must not draw the same pictures
    torch.manual_seed(int(rng.integers(2**31)))

    def loss(progress: float) -> dict[str, torch.Tensor]:
        windows = progress < _WINDOW_SHARE
        pictures, nearest = batch(rng, 16 if windows else 6, windows)
        with torch.autocast("cpu", torch.bfloat16):
            means = vae.encode(pictures).latent_dist.mean
            noise = _NOISE[0] + (_NOISE[1] - _NOISE[0]) * progress
            drawn = vae.decode(means + noise * torch.randn_like(means)).sample
        latents = means.float()
        pull = (latents.mean((0, 2, 3)) ** 2 + (latents.std((0, 2, 3)) - 1.0) ** 2).mean()
        seen = picture_loss(drawn, pictures, nearest)
        return {"loss": seen + _PULL * pull, "picture": seen.detach(), "pull": pull.detach()}

    settings = LoopSettings(checkpoint=out / "vae.pt", minutes=minutes, learning_rate=2e-3, decay_from=0.5)
    train(list(vae.parameters()), loss, settings, team)
    if team.rank == 0:
        vae.eval()
        _normalise(vae, np.random.default_rng(1))
        print("PSNR dB, all and near outlines:", quality(vae, np.random.default_rng(2)), flush=True)
        vae.save_pretrained(out / "vae")
    team.leave()


if __name__ == "__main__":
    in_team("training.train_vae", __doc__, run, minutes=12.0)

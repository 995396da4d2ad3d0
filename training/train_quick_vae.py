"""Train a quick autoencoder for previews: what the model's own VAE makes of latents, and of pictures, in a tenth of its time.

    python -m training.train_quick_vae --model sdrt/models/nano --out DIR --minutes 20

Writes DIR/quick.pt every two minutes and at the end. Resumes after an interruption. The decoder learns what the VAE's decoder makes of the
latents of pictures, and of the U-Net's estimates of them at any timestep, which is what previews show; the encoder learns the VAE's means.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel

from training import checkpoints
from training.captions import caption
from training.denoising import NUM_TRAIN_TIMESTEPS, signal_and_noise
from training.encode import Encoders, load_model_encoders
from training.loop import LoopSettings, train
from training.scenes import place, render, sample
from training.stage import for_model
from training.team import Team
from training.train_vae import picture_loss

_BATCH = 8
_SCENES = 2048  # drawn once, so that the loop holds the quick networks alone
_AT_ONCE = 32  # scenes that the model's own networks take at a time
_PAIR_SHARE = 0.4
_ENCODER_WEIGHT = 2.0


class Lesson(NamedTuple):
    """Scenes with what the model's own networks make of them."""

    pictures: torch.Tensor  # f16[n, 3, 128, 128]
    nearest: torch.Tensor  # f16[n, 1, 128, 128], distances to outlines
    latents: torch.Tensor  # f32[n, 2, 4, 16, 16] in the denoiser's scale: of the picture, and the U-Net's estimate of them
    decoded: torch.Tensor  # f16[n, 2, 3, 128, 128]


def new_quick() -> AutoencoderTiny:
    """Make an untrained quick autoencoder: 16 channels, most of its layers where pictures are small."""
    return AutoencoderTiny(
        encoder_block_out_channels=(16,) * 4,
        decoder_block_out_channels=(16,) * 4,
        num_encoder_blocks=(0, 1, 2, 3),
        num_decoder_blocks=(4, 3, 2, 0),
    )


def load_quick(checkpoint: Path) -> AutoencoderTiny:
    """Load the moving average of the weights from a checkpoint, finished or not."""
    quick = new_quick()
    checkpoints.load_average(checkpoint, quick.parameters())
    return quick.eval()


@torch.no_grad()
def lessons(model: Path, rng: np.random.Generator, count: int, *, unseen: bool) -> Lesson:
    """Draw scenes, held out or not, and run the model's own networks on them."""
    encoders = load_model_encoders(model)
    unet = UNet2DConditionModel.from_pretrained(model / "unet").float().eval().to(memory_format=torch.channels_last)
    parts = [_lesson(encoders, unet, rng, unseen) for _ in range(count // _AT_ONCE)]
    return Lesson(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _lesson(encoders: Encoders, unet: UNet2DConditionModel, rng: np.random.Generator, unseen: bool) -> Lesson:
    scenes = [sample(rng, pairs=_PAIR_SHARE, unseen=unseen) for _ in range(_AT_ONCE)]
    drawn, distances = zip(*(render(place(scene, rng)) for scene in scenes), strict=True)
    pictures = torch.from_numpy(np.stack(drawn))
    factor = float(encoders.vae.config.scaling_factor)
    latents = encoders.vae.encode(pictures.to(memory_format=torch.channels_last)).latent_dist.mean * factor
    estimate = _estimate(unet, latents, encoders.states([caption(scene, rng) for scene in scenes]), rng)
    decoded = torch.stack([encoders.vae.decode(each / factor).sample for each in (latents, estimate)], 1)
    nearest = torch.from_numpy(np.stack(distances))[:, None]
    return Lesson(pictures.half(), nearest.half(), torch.stack([latents, estimate], 1), decoded.half())


def _estimate(unet: UNet2DConditionModel, latents: torch.Tensor, states: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return the U-Net's estimate of the latents after noise of any timestep."""
    signal, noisiness = signal_and_noise()
    timesteps = torch.from_numpy(rng.integers(0, NUM_TRAIN_TIMESTEPS, len(latents)))
    noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
    a, s = signal[timesteps][:, None, None, None], noisiness[timesteps][:, None, None, None]
    noisy = a * latents + s * noise
    guess: torch.Tensor = a * noisy - s * unet(noisy, timesteps, states).sample
    return guess


@torch.no_grad()
def quality(quick: AutoencoderTiny, lesson: Lesson) -> dict[str, float]:
    """Return PSNRs in dB (peak 255) to what the VAE decodes: of pictures' latents, of estimates, and of latents of the quick encoder."""
    encoded = quick.encode(lesson.pictures.float()).latents
    sources = {"latents": lesson.latents[:, 0], "estimates": lesson.latents[:, 1], "through both halves": encoded}
    targets = (lesson.decoded[:, 0], lesson.decoded[:, 1], lesson.decoded[:, 0])
    measured = {}
    for (name, latents), target in zip(sources.items(), targets, strict=True):
        drawn = torch.cat([quick.decode(part).sample for part in torch.split(latents, _AT_ONCE)])
        squared = ((drawn.clamp(-1.0, 1.0) - target.float().clamp(-1.0, 1.0)) / 2.0) ** 2
        measured[name] = float(-10.0 * squared.mean().log10())
    return measured


def run(model: Path, out: Path, minutes: float, team: Team) -> None:
    """Train, and write OUT/quick.pt."""
    torch.manual_seed(0)
    quick = new_quick().to(memory_format=torch.channels_last)
    rng = np.random.default_rng()  # unseeded on purpose: members, and a resumed run, must not draw the same pictures
    lesson = lessons(model, rng, _SCENES, unseen=False)
    print("lessons drawn", flush=True)

    def loss(_progress: float) -> dict[str, torch.Tensor]:
        rows, which = torch.from_numpy(rng.integers(0, _SCENES, _BATCH)), torch.from_numpy(rng.integers(0, 2, _BATCH))
        pictures, nearest, latents, decoded = (
            lesson.pictures[rows].float(),
            lesson.nearest[rows].float(),
            lesson.latents[rows],
            lesson.decoded[rows, which].float(),
        )
        with torch.autocast("cpu", torch.bfloat16):
            drawn = quick.decode(latents[torch.arange(_BATCH), which].to(memory_format=torch.channels_last)).sample
            encoded = quick.encode(pictures.to(memory_format=torch.channels_last)).latents
        seen = picture_loss(drawn, decoded, nearest)
        off = ((encoded.float() - latents[:, 0]) ** 2).mean()
        return {"loss": seen + _ENCODER_WEIGHT * off, "picture": seen.detach(), "latents": off.detach()}

    settings = LoopSettings(checkpoint=out / "quick.pt", minutes=minutes, learning_rate=2e-3, decay_from=0.4)
    train(list(quick.parameters()), loss, settings, team)
    if team.rank == 0:
        held_out = lessons(model, np.random.default_rng(7), 128, unseen=True)
        print("PSNR dB to the VAE:", quality(quick.eval(), held_out), flush=True)
    team.leave()


if __name__ == "__main__":
    for_model("training.train_quick_vae", __doc__, run, minutes=20.0)

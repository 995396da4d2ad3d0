"""What every denoiser is trained on: noise of a drawn timestep, and the error of the predicted velocity, weighted by cell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

NUM_TRAIN_TIMESTEPS, BETA_START, BETA_END = 1000, 0.00085, 0.012  # Stable Diffusion's scaled-linear schedule
EMPTY_SHARE = 0.1  # of captions replaced by the empty one, for guidance
_KNOTS = ((0.0, 0.07, 0.93, 1.0), (0.0, 250.0, 850.0, 1000.0))  # 86 % of the timesteps lie in 250..850, where shape is decided


def signal_and_noise() -> tuple[torch.Tensor, torch.Tensor]:
    """Return sqrt(alpha_bar) and sqrt(1 - alpha_bar), f32[1000]."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, NUM_TRAIN_TIMESTEPS, dtype=torch.float64) ** 2
    alpha_bar = torch.cumprod(1.0 - betas, 0)
    return alpha_bar.sqrt().float(), (1.0 - alpha_bar).sqrt().float()


def draw_timesteps(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Draw timesteps i64[n], stratified: one from each n-th part of their distribution."""
    even = (rng.permutation(count) + rng.random(count)) / count
    return torch.from_numpy(np.interp(even, *_KNOTS).astype(np.int64)).clamp(max=NUM_TRAIN_TIMESTEPS - 1)


def denoising_loss(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], latents: torch.Tensor, weights: torch.Tensor, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    """Return the loss of one batch.

    Parameters
    ----------
    predict : noisy latents, timesteps -> velocity; run in bfloat16
    latents : f32[n, 4, 16, 16]
    weights : f32[n, 1, 16, 16]
    """
    signal, noisiness = signal_and_noise()
    timesteps, noise = draw_timesteps(rng, len(latents)), torch.randn_like(latents)
    a, s = signal[timesteps][:, None, None, None], noisiness[timesteps][:, None, None, None]
    noisy = (a * latents + s * noise).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        velocity = predict(noisy, timesteps)
    squared = (velocity.float() - (a * noise - s * latents)) ** 2
    return {"loss": (weights * squared).sum() / (weights.sum() * latents.shape[1]), "plain": squared.detach().mean()}

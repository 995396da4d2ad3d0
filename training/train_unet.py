"""Train the U-Net on encoded scenes: single objects first, then also pairs.

    python -m training.train_unet --out DIR --minutes 60

Reads DIR/data and DIR/text_encoder, writes DIR/unet.pt every two minutes and at the end. Resumes after an interruption.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from training import checkpoints
from training.encode import load_encoders
from training.loop import LoopSettings, train
from training.stage import in_team
from training.team import Team
from training.train_text import HIDDEN

NUM_TRAIN_TIMESTEPS, BETA_START, BETA_END = 1000, 0.00085, 0.012  # Stable Diffusion's scaled-linear schedule
_BATCH = 32
_EMPTY_SHARE = 0.1  # of captions replaced by the empty one, for guidance
_PAIRS_FROM, _PAIR_SHARE = 0.38, 0.4  # pairs start after this share of the time, and then make up this share of a batch
_KNOTS = ((0.0, 0.07, 0.93, 1.0), (0.0, 250.0, 850.0, 1000.0))  # 86 % of the timesteps lie in 250..850, where shape is decided


def new_unet() -> UNet2DConditionModel:
    """Make an untrained U-Net: 3.4 M parameters, attention to the text only at the 8x8 level and in the middle."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(48, 64, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        cross_attention_dim=HIDDEN,
    )


def load_unet(checkpoint: Path) -> UNet2DConditionModel:
    """Load the moving average of the weights from a checkpoint, finished or not."""
    state = checkpoints.load(checkpoint)
    if state is None:
        raise FileNotFoundError(f"{checkpoint}: must be a checkpoint, got no such file; run training.train_unet first")
    unet = new_unet()
    for parameter, average in zip(unet.parameters(), state["average"], strict=True):
        parameter.data.copy_(average)
    return unet.eval()


def signal_and_noise() -> tuple[torch.Tensor, torch.Tensor]:
    """Return sqrt(alpha_bar) and sqrt(1 - alpha_bar), f32[1000]."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, NUM_TRAIN_TIMESTEPS, dtype=torch.float64) ** 2
    alpha_bar = torch.cumprod(1.0 - betas, 0)
    return alpha_bar.sqrt().float(), (1.0 - alpha_bar).sqrt().float()


def draw_timesteps(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Draw timesteps i64[n], stratified: one from each n-th part of their distribution."""
    even = (rng.permutation(count) + rng.random(count)) / count
    return torch.from_numpy(np.interp(even, *_KNOTS).astype(np.int64)).clamp(max=NUM_TRAIN_TIMESTEPS - 1)


@dataclass(frozen=True)
class Shelf:
    """All encoded chunks of one kind, mapped from disk."""

    chunks: tuple[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]], ...]

    @classmethod
    def open(cls, data: Path, kind: str) -> Shelf:
        """Map every finished chunk of this kind."""
        folders = sorted(path for path in data.glob(f"{kind}-*") if not path.name.endswith(".unfinished"))
        if not folders:
            raise FileNotFoundError(f"{data}: must hold encoded scenes of kind {kind!r}, got none; run training.encode first")
        parts = ("latents", "weights", "states")
        return cls(tuple(tuple(np.load(f / f"{p}.npy", mmap_mode="r") for p in parts) for f in folders))

    def draw(self, rng: np.random.Generator) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Draw one scene: latents [4, 16, 16], weights [1, 16, 16], states [77, 128] of one of its captions."""
        latents, weights, states = self.chunks[int(rng.integers(len(self.chunks)))]
        row = int(rng.integers(len(latents)))
        return latents[row], weights[row], states[row, int(rng.integers(states.shape[1]))]


def run(out: Path, minutes: float, team: Team) -> None:
    """Train, and write OUT/unet.pt."""
    torch.manual_seed(0)
    unet = new_unet().to(memory_format=torch.channels_last)
    unet.set_attn_processor(AttnProcessor())  # its backward pass is faster than scaled_dot_product_attention's on a CPU
    rng = np.random.default_rng()  # unseeded on purpose: members, and a resumed run, must not draw the same batches
    torch.manual_seed(int(rng.integers(2**31)))
    singles, pairs = Shelf.open(out / "data", "single"), Shelf.open(out / "data", "pair")
    empty = load_encoders(out).states([""])[0].numpy().astype(np.float16)
    signal, noisiness = signal_and_noise()

    def loss(progress: float) -> dict[str, torch.Tensor]:
        share = _PAIR_SHARE if progress >= _PAIRS_FROM else 0.0
        drawn = [(pairs if rng.random() < share else singles).draw(rng) for _ in range(_BATCH)]
        latents, weights, states = (torch.from_numpy(np.stack(part)).float() for part in zip(*drawn, strict=True))
        states[torch.rand(_BATCH) < _EMPTY_SHARE] = torch.from_numpy(empty).float()
        timesteps, noise = draw_timesteps(rng, _BATCH), torch.randn_like(latents)
        a, s = signal[timesteps][:, None, None, None], noisiness[timesteps][:, None, None, None]
        noisy = (a * latents + s * noise).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            velocity = unet(noisy, timesteps, states).sample
        squared = (velocity.float() - (a * noise - s * latents)) ** 2
        return {"loss": (weights * squared).sum() / (weights.sum() * latents.shape[1]), "plain": squared.detach().mean()}

    train(list(unet.parameters()), loss, LoopSettings(checkpoint=out / "unet.pt", minutes=minutes, learning_rate=1e-3), team)
    team.leave()


if __name__ == "__main__":
    in_team("training.train_unet", __doc__, run, minutes=60.0)

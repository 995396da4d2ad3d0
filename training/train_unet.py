"""Train the U-Net on encoded scenes: single objects first, then also pairs.

    python -m training.train_unet --out DIR --minutes 60

Reads DIR/data and DIR/text_encoder, writes DIR/unet.pt every two minutes and at the end. Resumes after an interruption.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from training import checkpoints
from training.chunks import Shelf, batch
from training.denoising import EMPTY_SHARE, denoising_loss
from training.encode import load_encoders
from training.loop import LoopSettings, train
from training.stage import in_team
from training.team import Team
from training.train_text import HIDDEN

_BATCH = 32
_PAIRS_FROM, _PAIR_SHARE = 0.38, 0.4  # pairs start after this share of the time, and then make up this share of a batch


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
    unet = new_unet()
    checkpoints.load_average(checkpoint, unet.parameters())
    return unet.eval()


def run(out: Path, minutes: float, team: Team) -> None:
    """Train, and write OUT/unet.pt."""
    torch.manual_seed(0)
    unet = new_unet().to(memory_format=torch.channels_last)
    unet.set_attn_processor(AttnProcessor())  # its backward pass is faster than scaled_dot_product_attention's on a CPU
    rng = np.random.default_rng()  # unseeded on purpose: members, and a resumed run, must not draw the same batches
    torch.manual_seed(int(rng.integers(2**31)))
    singles, pairs = (Shelf.open(out / "data", kind, ("latents", "weights", "states")) for kind in ("single", "pair"))
    empty = load_encoders(out).states([""])[0]

    def loss(progress: float) -> dict[str, torch.Tensor]:
        share = _PAIR_SHARE if progress >= _PAIRS_FROM else 0.0
        drawn = batch([pairs if rng.random() < share else singles for _ in range(_BATCH)], rng)
        states = drawn["states"]
        states[torch.rand(_BATCH) < EMPTY_SHARE] = empty
        return denoising_loss(lambda noisy, timesteps: unet(noisy, timesteps, states).sample, drawn["latents"], drawn["weights"], rng)

    train(list(unet.parameters()), loss, LoopSettings(checkpoint=out / "unet.pt", minutes=minutes, learning_rate=1e-3), team)
    team.leave()


if __name__ == "__main__":
    in_team("training.train_unet", __doc__, run, minutes=60.0)

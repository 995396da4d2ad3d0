"""Train a LoRA of the model's U-Net on pictures in another style, with the captions of the usual ones.

    python -m training.train_lora --model sdrt/models/nano --out DIR --minutes 10

Reads DIR/data/outlined-*, writes DIR/lora.pt every two minutes and at the end. Resumes after an interruption.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor

from training import checkpoints
from training.chunks import Shelf, batch
from training.denoising import EMPTY_SHARE, denoising_loss
from training.encode import load_model_encoders
from training.loop import LoopSettings, train
from training.low_rank import LowRank, add_low_rank
from training.stage import for_model
from training.team import Team
from training.train_controlnet import load_unet

RANK = 8
_BATCH = 32


def parameters(updates: dict[str, LowRank]) -> list[torch.nn.Parameter]:
    """Return what is trained, in the order of the checkpoint."""
    return [parameter for update in updates.values() for layer in (update.lora_A, update.lora_B) for parameter in layer.parameters()]


def load_lora(model: Path, checkpoint: Path) -> dict[str, LowRank]:
    """Load the moving average of the updates from a checkpoint, finished or not."""
    updates = add_low_rank(load_unet(model), RANK)
    checkpoints.load_average(checkpoint, parameters(updates))
    return updates


def run(model: Path, out: Path, minutes: float, team: Team) -> None:
    """Train, and write OUT/lora.pt."""
    torch.manual_seed(0)  # the same first rows in every member
    unet = load_unet(model)
    unet.set_attn_processor(AttnProcessor())  # its backward pass is faster than scaled_dot_product_attention's on a CPU
    updates = add_low_rank(unet, RANK)
    unet.to(memory_format=torch.channels_last)
    rng = np.random.default_rng()  # unseeded on purpose: members, and a resumed run, must not draw the same batches
    torch.manual_seed(int(rng.integers(2**31)))
    scenes = Shelf.open(out / "data", "outlined", ("latents", "weights", "states"))
    empty = load_model_encoders(model).states([""])[0]

    def loss(_progress: float) -> dict[str, torch.Tensor]:
        drawn = batch([scenes] * _BATCH, rng)
        states = drawn["states"]
        states[torch.rand(_BATCH) < EMPTY_SHARE] = empty
        return denoising_loss(lambda noisy, timesteps: unet(noisy, timesteps, states).sample, drawn["latents"], drawn["weights"], rng)

    settings = LoopSettings(checkpoint=out / "lora.pt", minutes=minutes, learning_rate=3e-3, weight_decay=0.0, warmup_steps=50)
    train(parameters(updates), loss, settings, team)
    team.leave()


if __name__ == "__main__":
    for_model("training.train_lora", __doc__, run, minutes=10.0)

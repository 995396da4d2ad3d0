"""Train the in-painting U-Net: the model's own, with five more input channels, on encoded scenes with holes.

    python -m training.train_inpaint --model sdrt/models/nano --out DIR --minutes 45

The inputs are the noisy latents (4 channels), the mask (1), and the latents of the picture with grey in the hole (4). Reads
DIR/data/hole-*, writes DIR/inpaint.pt every two minutes and at the end. Resumes after an interruption.
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
from training.encode import load_model_encoders
from training.loop import LoopSettings, train
from training.stage import for_model
from training.team import Team

_BATCH = 32
_CHANNELS = 9
_KEPT = 2.0  # factor on the weight of cells outside the hole: guidance would enlarge every error there


def widened(model: Path) -> UNet2DConditionModel:
    """Load the model's U-Net with inputs for mask and masked picture, which it does not heed yet."""
    narrow = UNet2DConditionModel.from_pretrained(model / "unet").float()
    wide = UNet2DConditionModel.from_config({**narrow.config, "in_channels": _CHANNELS})
    weights = narrow.state_dict()
    first = weights["conv_in.weight"]
    weights["conv_in.weight"] = torch.cat([first, first.new_zeros(first.shape[0], _CHANNELS - first.shape[1], *first.shape[2:])], 1)
    wide.load_state_dict(weights)
    return wide


def load_inpaint(model: Path, checkpoint: Path) -> UNet2DConditionModel:
    """Load the moving average of the weights from a checkpoint, finished or not."""
    unet = widened(model)
    checkpoints.load_average(checkpoint, unet.parameters())
    return unet.eval()


def run(model: Path, out: Path, minutes: float, team: Team) -> None:
    """Train, and write OUT/inpaint.pt."""
    unet = widened(model).to(memory_format=torch.channels_last)
    unet.set_attn_processor(AttnProcessor())  # its backward pass is faster than scaled_dot_product_attention's on a CPU
    rng = np.random.default_rng()  # unseeded on purpose: members, and a resumed run, must not draw the same batches
    torch.manual_seed(int(rng.integers(2**31)))
    scenes = Shelf.open(out / "data", "hole", ("latents", "weights", "states", "masks", "kept"))
    empty = load_model_encoders(model).states([""])[0]

    def loss(_progress: float) -> dict[str, torch.Tensor]:
        drawn = batch([scenes] * _BATCH, rng)
        states, masks, kept = drawn["states"], drawn["masks"], drawn["kept"]
        states[torch.rand(_BATCH) < EMPTY_SHARE] = empty
        weights = drawn["weights"] * (_KEPT + (1.0 - _KEPT) * masks)

        def predict(noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
            inputs = torch.cat([noisy, masks, kept], 1).to(memory_format=torch.channels_last)
            velocity: torch.Tensor = unet(inputs, timesteps, states).sample
            return velocity

        return denoising_loss(predict, drawn["latents"], weights, rng)

    train(list(unet.parameters()), loss, LoopSettings(checkpoint=out / "inpaint.pt", minutes=minutes, learning_rate=8e-4), team)
    team.leave()


if __name__ == "__main__":
    for_model("training.train_inpaint", __doc__, run, minutes=45.0)

"""Train a ControlNet from edges to shape: initialised from the encoder of the model's U-Net, which does not change.

    python -m training.train_controlnet --model sdrt/models/nano --out DIR --minutes 40

Reads DIR/data/control-*, writes DIR/controlnet.pt every two minutes and at the end. Resumes after an interruption.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from training import checkpoints
from training.chunks import Shelf, batch
from training.denoising import EMPTY_SHARE, denoising_loss
from training.encode import load_model_encoders
from training.loop import LoopSettings, train
from training.stage import for_model
from training.team import Team

_BATCH = 32
_EDGE_CHANNELS = (8, 16, 32, 64)  # of the small network that reads the edges


def new_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """Make a ControlNet with the encoder's weights, and without attention in the middle, which keeps it small."""
    config = unet.config
    controlnet = ControlNetModel(
        in_channels=config.in_channels,
        down_block_types=tuple(config.down_block_types),
        mid_block_type="UNetMidBlock2D",
        only_cross_attention=False,
        block_out_channels=tuple(config.block_out_channels),
        layers_per_block=config.layers_per_block,
        norm_num_groups=config.norm_num_groups,
        attention_head_dim=config.attention_head_dim,
        cross_attention_dim=config.cross_attention_dim,
        conditioning_embedding_out_channels=_EDGE_CHANNELS,
    )
    own = controlnet.state_dict()
    shared = {name: values for name, values in unet.state_dict().items() if name in own and own[name].shape == values.shape}
    controlnet.load_state_dict(own | shared)
    return controlnet


def load_unet(model: Path) -> UNet2DConditionModel:
    """Load the model's U-Net, not to be trained."""
    unet = UNet2DConditionModel.from_pretrained(model / "unet").float().eval()
    unet.requires_grad_(False)
    return unet


def load_controlnet(model: Path, checkpoint: Path) -> ControlNetModel:
    """Load the moving average of the weights from a checkpoint, finished or not."""
    controlnet = new_controlnet(load_unet(model))
    checkpoints.load_average(checkpoint, controlnet.parameters())
    return controlnet.eval()


def run(model: Path, out: Path, minutes: float, team: Team) -> None:
    """Train, and write OUT/controlnet.pt."""
    torch.manual_seed(0)  # the same new layers in every member
    unet = load_unet(model).to(memory_format=torch.channels_last)
    controlnet = new_controlnet(unet).to(memory_format=torch.channels_last)
    for network in (unet, controlnet):
        network.set_attn_processor(AttnProcessor())  # its backward pass is faster than scaled_dot_product_attention's on a CPU
    rng = np.random.default_rng()  # unseeded on purpose: members, and a resumed run, must not draw the same batches
    torch.manual_seed(int(rng.integers(2**31)))
    scenes = Shelf.open(out / "data", "control", ("latents", "weights", "states", "edges"))
    empty = load_model_encoders(model).states([""])[0]

    def loss(_progress: float) -> dict[str, torch.Tensor]:
        drawn = batch([scenes] * _BATCH, rng)
        states, edges = drawn["states"], (drawn["edges"][:, None] / 255.0).expand(-1, 3, -1, -1)
        states[torch.rand(_BATCH) < EMPTY_SHARE] = empty

        def predict(noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
            down, middle = controlnet(noisy, timesteps, states, edges.to(memory_format=torch.channels_last), return_dict=False)
            velocity: torch.Tensor = unet(
                noisy, timesteps, states, down_block_additional_residuals=down, mid_block_additional_residual=middle
            ).sample
            return velocity

        return denoising_loss(predict, drawn["latents"], drawn["weights"], rng)

    train(list(controlnet.parameters()), loss, LoopSettings(checkpoint=out / "controlnet.pt", minutes=minutes, learning_rate=1e-3), team)
    team.leave()


if __name__ == "__main__":
    for_model("training.train_controlnet", __doc__, run, minutes=40.0)

"""Loops that people use are not accused: sdrt's own, and that of diffusers' pipeline."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import torch

import sdrt
from sdrt.arrays import Array
from sdrt.testing import check_loop, write_model
from sdrt.testing.loops.networks import WIDTH, LoopNetworks
from sdrt.testing.loops.reference import LoopCall
from tests.fake_backend import FakeBackend


class StandIn(torch.nn.Module):
    """What diffusers' pipeline asks of a network besides calling it."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = SimpleNamespace(_diffusers_version="1.0.0", **config)


class UNet(StandIn):
    def __init__(self, networks: LoopNetworks) -> None:
        super().__init__(in_channels=4, sample_size=8, time_cond_proj_dim=None)
        self.networks = networks

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
        return (self.networks.unet(sample, timestep, encoder_hidden_states),)


class Vae(StandIn):
    def __init__(self, networks: LoopNetworks, scaling_factor: float) -> None:
        super().__init__(scaling_factor=scaling_factor, block_out_channels=(1, 1, 1, 1))
        self.networks = networks

    def decode(self, z: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
        return (self.networks.vae_decoder(z),)


def of_diffusers(networks: LoopNetworks, call: LoopCall) -> Array:
    settings = {key: value for key, value in call.scheduler_config.items() if key != "_class_name"}
    scheduler = getattr(diffusers, call.scheduler_config["_class_name"])(**settings)
    pipeline = diffusers.StableDiffusionPipeline(
        Vae(networks, call.scaling_factor), StandIn(), None, UNet(networks), scheduler, None, None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        prompt_embeds=torch.from_numpy(networks.text_encoder(call.input_ids)),
        negative_prompt_embeds=torch.from_numpy(networks.text_encoder(call.negative_input_ids)),
        num_inference_steps=call.num_inference_steps,
        guidance_scale=call.guidance_scale,
        height=call.height,
        width=call.width,
        generator=torch.Generator().manual_seed(call.seed),
        output_type="np",
    )
    return np.moveaxis(drawn.images, -1, 1)


def test_diffusers_pipeline_is_not_accused() -> None:
    assert check_loop(of_diffusers) == []


def test_sdrts_pipeline_is_not_accused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    negative = sdrt.ClipTokenizer.load(folder / "tokenizer").batch(["b"]).input_ids[0]

    def generate(networks: LoopNetworks, call: LoopCall) -> Array:
        def encode(input_ids: Array) -> dict[str, Array]:
            ids = [call.negative_input_ids[0] if (row == negative).all() else call.input_ids[0] for row in input_ids]
            states = networks.text_encoder(np.stack(ids))
            wide = np.pad(states, ((0, 0), (0, 0), (0, 32 - WIDTH)))  # of the model's width
            return {"last_hidden_state": wide, "penultimate_hidden_state": wide, "pooled": wide[:, -1]}

        def predict(sample: Array, timestep: Array, encoder_hidden_states: Array) -> dict[str, Array]:
            return {"noise_pred": networks.unet(sample, timestep, encoder_hidden_states[..., :WIDTH])}

        def decode(z: Array) -> dict[str, Array]:
            return {"image": networks.vae_decoder(z)}

        backend = FakeBackend({"text_encoder": encode, "unet": predict, "vae_decoder": decode})
        with sdrt.load(folder, backend) as pipe:
            image = pipe.generate(
                "a",
                negative_prompt="b",
                seed=call.seed,
                num_inference_steps=call.num_inference_steps,
                guidance_scale=call.guidance_scale,
                height=call.height,
                width=call.width,
                scheduler=call.scheduler.sampler,
            ).images[0]
        return np.asarray(image)[None]

    assert check_loop(generate) == []

"""The same networks in torch, called with numpy arrays, and model folders that hold one part."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from sdrt.arrays import Array
from sdrt.backends import BackendOptions, Numerics
from sdrt.backends.numpy import NumpyBackend
from sdrt.backends.numpy.network import NumpyNetwork
from sdrt.models import Part, open_model
from sdrt.models.parts import SUBFOLDERS

# Of the largest value. What is measured is 3e-6 and 2e-14.
BOUNDS: Mapping[Numerics, float] = {"float32": 1e-4, "float64": 1e-9}

NUMERICS: tuple[Numerics, ...] = ("float32", "float64")


def open_network(folder: Path, part: Part, numerics: Numerics = "float32", threads: int | None = None) -> NumpyNetwork:
    return NumpyBackend().open(part, open_model(folder), BackendOptions(numerics=numerics, threads=threads))


def part_folder(folder: Path, part: Part, module: Any, **save: Any) -> Path:
    """A model folder with this one part in it."""
    for name in (*SUBFOLDERS.values(), "tokenizer", "scheduler"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    module.save_pretrained(folder / SUBFOLDERS[part], **save)
    return folder


def change_config(folder: Path, part: Part, **changes: Any) -> None:
    file = folder / SUBFOLDERS[part] / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def relative_error(found: Array, wanted: Array) -> float:
    """The largest difference over the largest value; shapes must agree."""
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


class Float64Timesteps(nn.Module):
    """diffusers' timestep features without its float32 rounding, which moves them by 3e-5: what float64 is compared with."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.size, self.cosines_first, self.shift = original.num_channels, original.flip_sin_to_cos, original.downscale_freq_shift

    def forward(self, timesteps: torch.Tensor) -> torch.Tensor:
        half = self.size // 2
        frequencies = torch.pow(10000.0, -torch.arange(half, dtype=torch.float64) / (half - self.shift))
        angles = timesteps.double()[:, None] * frequencies
        waves = [angles.cos(), angles.sin()] if self.cosines_first else [angles.sin(), angles.cos()]
        return torch.cat(waves, dim=1)


def torch_unet(unet: UNet2DConditionModel, numerics: Numerics) -> Callable[..., Array]:
    """(sample, timestep, encoder_hidden_states) -> noise_pred; the module is converted in place."""
    if numerics == "float64":
        unet = unet.double()
        unet.time_proj = Float64Timesteps(unet.time_proj)

    def run(sample: Array, timestep: Array, encoder_hidden_states: Array) -> Array:
        arrays = [torch.from_numpy(x) for x in (sample, timestep, encoder_hidden_states)]
        with torch.no_grad():
            found: Array = unet(*arrays).sample.numpy()
        return found

    return run


def torch_vae(vae: AutoencoderKL, part: Part, numerics: Numerics) -> Callable[[Array], Array]:
    """Latents -> image, or image -> moments; the module is converted in place."""
    if numerics == "float64":
        vae = vae.double()

    def run(x: Array) -> Array:
        with torch.no_grad():
            found = (
                vae.decode(torch.from_numpy(x)).sample if part == "vae_decoder" else vae.encode(torch.from_numpy(x)).latent_dist.parameters
            )
        array: Array = found.numpy()
        return array

    return run


def torch_text_encoder(encoder: Any, numerics: Numerics) -> Callable[[Array], dict[str, Array]]:
    """Ids -> the three outputs; the module is converted in place."""
    if numerics == "float64":
        encoder = encoder.double()

    def run(input_ids: Array) -> dict[str, Array]:
        with torch.no_grad():
            found = encoder(torch.from_numpy(input_ids).long(), output_hidden_states=True)
        pooled = found.text_embeds if hasattr(found, "text_embeds") else found.pooler_output
        states = {"last_hidden_state": found.last_hidden_state, "penultimate_hidden_state": found.hidden_states[-2], "pooled": pooled}
        return {name: x.numpy() for name, x in states.items()}

    return run

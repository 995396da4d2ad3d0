"""Pruned models in one file, SSD-1B, Vega, KOALA, BK-SDM and small-SD: their structure follows from shapes as diffusers builds it."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from sdrt.backends import BackendOptions, registry
from sdrt.backends.pool import NetworkPool
from sdrt.models import open_model
from tests.backends.numpy.reference import torch_unet
from tests.factories import normal, random_unet
from tests.models.families import narrow, narrow_unet
from tests.models.original_names import original_unet

_XL = {**narrow_unet("sdxl")}
_SMALL = {**narrow_unet("sd1"), "layers_per_block": 1}
_THREE = {
    "block_out_channels": [32, 64, 128],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3,
    "up_block_types": ["CrossAttnUpBlock2D"] * 3,
}

# As the makers' own config.json have it; widths and the deepest transformers are smaller.
PRUNED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "SSD-1B": (
        "sdxl",
        {
            **_XL,
            "mid_block_type": "UNetMidBlock2D",
            "transformer_layers_per_block": [1, 2, 4],
            "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
        },
    ),
    "Vega": ("sdxl", {**_XL, "mid_block_type": "UNetMidBlock2D", "transformer_layers_per_block": [1, 1, 2]}),
    "KOALA-1B": ("sdxl", {**_XL, "layers_per_block": 1, "transformer_layers_per_block": [1, 2, 6]}),
    "KOALA-700M": ("sdxl", {**_XL, "layers_per_block": 1, "mid_block_type": None, "transformer_layers_per_block": [1, 2, 5]}),
    "BK-SDM-Base": ("sd1", _SMALL),
    "small-SD": ("sd1", {**_SMALL, "mid_block_type": None}),
    "BK-SDM-Tiny": ("sd1", {**_SMALL, **_THREE, "mid_block_type": None}),
    "lists on the way down": (
        "sdxl",
        {**_XL, "transformer_layers_per_block": [1, [2, 1], 3], "reverse_transformer_layers_per_block": [[3, 1, 2], 2, 1]},
    ),
}


def save_with(unet: UNet2DConditionModel, family: Any, file: Path) -> Path:
    """A checkpoint whose U-Net is another."""
    others = {name: tensor for name, tensor in narrow(family).original.items() if not name.startswith("model.diffusion_model.")}
    tensors = others | original_unet(unet.state_dict(), unet.config)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    return file


@pytest.mark.parametrize("name", PRUNED)
def test_a_pruned_checkpoint_computes_what_diffusers_computes(name: str, tmp_path: Path) -> None:
    family, config = PRUNED[name]
    unet = random_unet(config, seed=5)
    model = open_model(save_with(unet, family, tmp_path / "model.safetensors"))
    inputs = {
        "sample": normal(1, 2, 4, 16, 16),
        "timestep": np.array([1, 800], np.float32),
        "encoder_hidden_states": normal(2, 2, 7, config["cross_attention_dim"]),
    }
    if family == "sdxl":
        ids = np.array([[64, 64, 0, 0, 64, 64]] * 2, np.float32)
        inputs |= {"text_embeds": normal(3, 2, 40), "time_ids": ids}
    pool = NetworkPool(model, {"unet": registry.get("numpy")}, {"unet": BackendOptions(threads=1)})
    found = pool.get("unet")(**inputs)["noise_pred"]
    assert pool.remarks == {}
    wanted = torch_unet(unet, "float32")(**inputs)
    assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()
    pool.close()


@pytest.mark.parametrize("name", PRUNED)
def test_the_configuration_builds_the_same_module(name: str, tmp_path: Path) -> None:
    family, config = PRUNED[name]
    unet = random_unet(config)
    found = open_model(save_with(unet, family, tmp_path / "model.safetensors")).config("unet")
    known = inspect.signature(UNet2DConditionModel.__init__).parameters
    again = UNet2DConditionModel(**{key: value for key, value in found.items() if key in known})
    shapes = {key: tensor.shape for key, tensor in again.state_dict().items()}
    assert shapes == {key: tensor.shape for key, tensor in unet.state_dict().items()}

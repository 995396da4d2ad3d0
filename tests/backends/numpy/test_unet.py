"""The U-Net against diffusers' own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from sdrt.arrays import Array
from sdrt.backends import Numerics
from sdrt.errors import ArrayContractError
from tests.backends.numpy.reference import BOUNDS, NUMERICS, open_network, part_folder, relative_error, torch_unet
from tests.models import UNETS, Form, normal, random_unet

SIZES = [(1, 8, 8), (2, 16, 8), (4, 7, 5), (3, 9, 13)]


def unet_inputs(n: int, height: int, width: int, condition: int, channels: int = 4, dtype: str = "float32") -> dict[str, Array]:
    return {
        "sample": normal(1, n, channels, height, width, dtype=dtype),
        "timestep": np.linspace(1, 999, n).astype(dtype),
        "encoder_hidden_states": normal(2, n, 11, condition, dtype=dtype),
    }


@pytest.mark.parametrize("form", ["sd1", "sd2"])
@pytest.mark.parametrize("numerics", NUMERICS)
def test_agrees_with_diffusers(folders: dict[Form, Path], form: Form, numerics: Numerics) -> None:
    """Batches with a timestep for each row, sizes that are no multiple of 8 included."""
    network = open_network(folders[form], "unet", numerics)
    reference = torch_unet(UNet2DConditionModel.from_pretrained(folders[form] / "unet"), numerics)
    for n, height, width in SIZES:
        inputs = unet_inputs(n, height, width, UNETS[form]["cross_attention_dim"], dtype=numerics)
        found = network(**inputs)["noise_pred"]
        assert found.dtype == numerics
        assert relative_error(found, reference(**inputs)) < BOUNDS[numerics]


SMALL: dict[str, Any] = {
    "block_out_channels": (8, 16, 16),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
}
EVERYWHERE = {"down_block_types": ("CrossAttnDownBlock2D",) * 3, "up_block_types": ("CrossAttnUpBlock2D",) * 3}

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no mid block": {"mid_block_type": None},
    "mid block without attention": {"mid_block_type": "UNetMidBlock2D"},
    "attention everywhere": EVERYWHERE,
    "condition only": {**EVERYWHERE, "only_cross_attention": (True, False, True)},
    "layers by level": {"layers_per_block": (1, 2, 1)},
    "transformer layers by level": {**EVERYWHERE, "transformer_layers_per_block": (1, 2, 3)},
    "transformer layers by block": {
        **EVERYWHERE,
        "transformer_layers_per_block": ((1,), (2,), (2,)),
        "reverse_transformer_layers_per_block": ((1, 2), (2, 1), (1, 1)),
    },
    "linear projections": {"use_linear_projection": True},
    "sines first, shifted": {"flip_sin_to_cos": False, "freq_shift": 1},
    "other channels": {"in_channels": 9, "out_channels": 5},
    "sample in [0, 1]": {"center_input_sample": True},
    "padding below only": {"downsample_padding": 0},
    "time embedding": {"time_embedding_dim": 20},
    "norm": {"norm_num_groups": 2, "norm_eps": 0.1},
    "heads by level": {**EVERYWHERE, "attention_head_dim": (1, 4, 2)},
    "heads that do not divide": {"attention_head_dim": 3},
    "upcast": {"upcast_attention": True},
    "one level": {
        "block_out_channels": (8,),
        "down_block_types": ("CrossAttnDownBlock2D",),
        "up_block_types": ("CrossAttnUpBlock2D",),
    },
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_form_agrees_with_diffusers(tmp_path: Path, name: str) -> None:
    """Each key of a configuration that is built, in float64, where nothing hides behind rounding."""
    config = SMALL | VARIANTS[name]
    unet = random_unet(config)
    network = open_network(part_folder(tmp_path, "unet", unet), "unet", "float64")
    inputs = unet_inputs(2, 8, 6, 12, config.get("in_channels", 4), "float64")
    assert relative_error(network(**inputs)["noise_pred"], torch_unet(unet, "float64")(**inputs)) < BOUNDS["float64"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_widened(tmp_path: Path, dtype: torch.dtype) -> None:
    """Files in float16 and bfloat16 give what torch gives with those weights in float32."""
    unet = random_unet(SMALL).to(dtype)
    network = open_network(part_folder(tmp_path, "unet", unet), "unet")
    inputs = unet_inputs(2, 8, 8, 12)
    assert relative_error(network(**inputs)["noise_pred"], torch_unet(unet.float(), "float32")(**inputs)) < BOUNDS["float32"]


def test_every_input_moves_the_output(folders: dict[Form, Path]) -> None:
    """A change of any row of any input changes that row of the output and no other."""
    network = open_network(folders["sd1"], "unet", "float64")
    inputs = unet_inputs(2, 8, 8, 32, dtype="float64")
    before = network(**inputs)["noise_pred"]
    for name, x in inputs.items():
        changed = x.copy()
        changed[1] += 0.5
        after = network(**inputs | {name: changed})["noise_pred"]
        assert relative_error(after[:1], before[:1]) < 1e-12, name
        assert relative_error(after[1:], before[1:]) > 1e-3, name


def test_binding_changes_nothing(folders: dict[Form, Path]) -> None:
    """A bound condition, or any other bound input, gives the bytes that it gives unbound, whatever happens to the array later."""
    network = open_network(folders["sd2"], "unet")
    inputs = unet_inputs(2, 8, 8, 48)
    wanted = network(**inputs)["noise_pred"]
    for name in inputs:
        rest = {other: x for other, x in inputs.items() if other != name}
        mine = inputs[name].copy()
        bound = network.bind(**{name: mine})
        mine[...] = 0
        assert np.array_equal(bound(**rest)["noise_pred"], wanted)
    twice = network.bind(timestep=inputs["timestep"]).bind(encoder_hidden_states=inputs["encoder_hidden_states"])
    assert np.array_equal(twice(sample=inputs["sample"])["noise_pred"], wanted)
    assert np.array_equal(network(**inputs)["noise_pred"], wanted)


def test_rows_must_agree(folders: dict[Form, Path]) -> None:
    """A condition of fewer rows is refused, not broadcast."""
    network = open_network(folders["sd1"], "unet")
    inputs = unet_inputs(2, 8, 8, 32)
    condition = inputs.pop("encoder_hidden_states")[:1]
    with pytest.raises(ArrayContractError, match=r"rows differ: sample has 2, timestep has 2, encoder_hidden_states has 1"):
        network.bind(encoder_hidden_states=condition)(**inputs)

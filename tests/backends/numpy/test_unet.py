"""The U-Net against diffusers' own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from sdrt.arrays import Array, Numerics
from sdrt.backends.numpy.network import NumpyNetwork
from sdrt.errors import ArrayContractError
from tests.backends.numpy.reference import BOUNDS, NUMERICS, denoiser_inputs, open_network, part_folder, relative_error, torch_unet
from tests.factories import UNETS, Form, normal, random_unet

SIZES = [(1, 8, 8), (2, 16, 8), (4, 7, 5), (3, 9, 13)]
# forms that differ from others in one input: sizes have nothing new to say there
FEWER_SIZES = {"inpaint": SIZES[2:3], "lcm": SIZES[2:3], "sdxl-refiner": SIZES[2:]}


def residuals_for(network: NumpyNetwork, inputs: dict[str, Array], seed: int = 7) -> dict[str, Array]:
    """Random residuals of the sizes that a ControlNet would give for these inputs."""
    dtype, (n, _, height, width) = inputs["sample"].dtype.name, inputs["sample"].shape
    specs, found = network.signature.optional, {}
    changes = [index for index in range(1, len(specs) - 1) if index % 3 == 0]  # two residual blocks, then a downsampler
    for index, spec in enumerate(specs):
        if index in changes[: len(changes) - (len(specs) - 1) % 3 // 2]:
            height, width = (height + 1) // 2, (width + 1) // 2
        found[spec.name] = normal(seed + index, n, int(str(spec.shape[1])), height, width, dtype=dtype)
    return found


@pytest.mark.parametrize("form", UNETS)
@pytest.mark.parametrize("numerics", NUMERICS)
def test_agrees_with_diffusers(folders: dict[Form, Path], form: Form, numerics: Numerics) -> None:
    """Batches with a timestep for each row, sizes that are no multiple of 8 included, without and with a ControlNet's residuals."""
    network = open_network(folders[form], "unet", numerics)
    reference = torch_unet(UNet2DConditionModel.from_pretrained(folders[form] / "unet"), numerics)
    for n, height, width in FEWER_SIZES.get(form, SIZES):
        inputs = denoiser_inputs(form, n, height, width, numerics)
        residuals = residuals_for(network, inputs)
        wanted = reference(**inputs), reference(**inputs, **residuals)
        assert relative_error(*wanted) > 0.1
        for given, expected in zip((inputs, inputs | residuals), wanted, strict=True):
            found = network(**given)["noise_pred"]
            assert found.dtype == numerics
            assert relative_error(found, expected) < BOUNDS[numerics]


def small_inputs(n: int, height: int, width: int, channels: int = 4, dtype: str = "float32") -> dict[str, Array]:
    return {
        "sample": normal(1, n, channels, height, width, dtype=dtype),
        "timestep": np.linspace(1, 999, n).astype(dtype),
        "encoder_hidden_states": normal(2, n, 11, SMALL["cross_attention_dim"], dtype=dtype),
    }


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
    inputs = small_inputs(2, 8, 6, config.get("in_channels", 4), "float64")
    assert relative_error(network(**inputs)["noise_pred"], torch_unet(unet, "float64")(**inputs)) < BOUNDS["float64"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_widened(tmp_path: Path, dtype: torch.dtype) -> None:
    """Files in float16 and bfloat16 give what torch gives with those weights in float32."""
    unet = random_unet(SMALL).to(dtype)
    network = open_network(part_folder(tmp_path, "unet", unet), "unet")
    inputs = small_inputs(2, 8, 8)
    assert relative_error(network(**inputs)["noise_pred"], torch_unet(unet.float(), "float32")(**inputs)) < BOUNDS["float32"]


@pytest.mark.parametrize("form", UNETS)
def test_every_input_moves_the_output(folders: dict[Form, Path], form: Form) -> None:
    """A change of any row of any input, each residual among them, changes that row of the output and no other."""
    network = open_network(folders[form], "unet", "float64")
    inputs = denoiser_inputs(form, 2, 8, 8, "float64")
    inputs |= residuals_for(network, inputs)
    before = network(**inputs)["noise_pred"]
    for name, x in inputs.items():
        changed = x.copy()
        # a constant on top of a residual may vanish in a norm: noise does not
        changed[1] += 0.5 * normal(3, *x.shape[1:], dtype="float64")
        after = network(**inputs | {name: changed})["noise_pred"]
        assert relative_error(after[:1], before[:1]) < 1e-12, name
        assert relative_error(after[1:], before[1:]) > 1e-3, name


@pytest.mark.parametrize("form", UNETS)
def test_binding_changes_nothing(folders: dict[Form, Path], form: Form) -> None:
    """A bound condition, or any other bound input, gives the bytes that it gives unbound, whatever happens to the array later."""
    network = open_network(folders[form], "unet")
    inputs = denoiser_inputs(form, 2, 8, 8)
    residuals = residuals_for(network, inputs)
    wanted = network(**inputs)["noise_pred"]
    for name in inputs:
        rest = {other: x for other, x in inputs.items() if other != name}
        mine = inputs[name].copy()
        bound = network.bind(**{name: mine})
        mine[...] = 0
        assert np.array_equal(bound(**rest)["noise_pred"], wanted)
    bound = network
    for name, x in inputs.items():
        bound = bound.bind(**{name: x})
    assert np.array_equal(bound()["noise_pred"], wanted)
    assert np.array_equal(network(**inputs)["noise_pred"], wanted)
    controlled = network(**inputs, **residuals)["noise_pred"]
    assert np.array_equal(bound(**residuals)["noise_pred"], controlled)
    assert np.array_equal(network.bind(**residuals)(**inputs)["noise_pred"], controlled)


def test_pooled_residuals_reach_every_pixel(folders: dict[Form, Path]) -> None:
    """Residuals of one pixel, as a ControlNet with pooled conditions gives them, are added to all pixels, as diffusers adds them."""
    network = open_network(folders["sd1"], "unet", "float64")
    inputs = denoiser_inputs("sd1", 2, 8, 8, "float64")
    pooled = {name: x.mean(axis=(2, 3), keepdims=True) for name, x in residuals_for(network, inputs).items()}
    wanted = torch_unet(UNet2DConditionModel.from_pretrained(folders["sd1"] / "unet"), "float64")(**inputs, **pooled)
    assert relative_error(network(**inputs, **pooled)["noise_pred"], wanted) < BOUNDS["float64"]
    assert relative_error(network(**inputs)["noise_pred"], wanted) > 1e-3


def test_residuals_without_a_middle(tmp_path: Path) -> None:
    """Where a model has no middle, its residual and the last one of the way down are added to one array, once each."""
    unet = random_unet(SMALL | {"mid_block_type": None})
    network = open_network(part_folder(tmp_path, "unet", unet), "unet", "float64")
    inputs = small_inputs(2, 8, 8, dtype="float64")
    sides = [8, 8, 4, 4, 2, 2, 2]
    residuals = {
        spec.name: normal(index, 2, int(str(spec.shape[1])), side, side, dtype="float64")
        for index, (spec, side) in enumerate(zip(network.signature.optional, sides, strict=True))
    }
    wanted = torch_unet(unet, "float64")(**inputs, **residuals)
    assert relative_error(network(**inputs, **residuals)["noise_pred"], wanted) < BOUNDS["float64"]


def test_residuals_of_another_size_are_refused(folders: dict[Form, Path]) -> None:
    network = open_network(folders["sd1"], "unet")
    inputs = denoiser_inputs("sd1", 2, 8, 8)
    residuals = residuals_for(network, inputs)
    residuals["additional_residual_4"] = residuals["additional_residual_4"][:, :, :, :1]
    with pytest.raises(ArrayContractError, match=r"additional_residual_4 is 4x1 pixels, but is added to 4x4; run the ControlNet on this"):
        network(**inputs, **residuals)


def test_a_pair_of_text_and_numbers_that_misses_is_refused(folders: dict[Form, Path]) -> None:
    """The base takes six numbers, the refiner five; called or bound, the other pair is one clear error."""
    network = open_network(folders["sdxl"], "unet")
    inputs = denoiser_inputs("sdxl", 2, 8, 8)
    inputs["time_ids"] = inputs["time_ids"][:, :5]
    message = r"unet input: text_embeds is 24 wide and time_ids has 5 numbers of 8 features, together 64, but the model takes 72"
    with pytest.raises(ArrayContractError, match=message):
        network(**inputs)
    with pytest.raises(ArrayContractError, match=message):
        network.bind(text_embeds=inputs["text_embeds"], time_ids=inputs["time_ids"])


@pytest.mark.parametrize(("form", "name"), [("sd1", "encoder_hidden_states"), ("sdxl", "time_ids"), ("lcm", "timestep_cond")])
def test_rows_must_agree(folders: dict[Form, Path], form: Form, name: str) -> None:
    """A condition of fewer rows is refused, not broadcast."""
    network = open_network(folders[form], "unet")
    inputs = denoiser_inputs(form, 2, 8, 8)
    short = inputs.pop(name)[:1]
    with pytest.raises(ArrayContractError, match=rf"unet input: rows differ: sample has 2, {name} has 1; pass as many of each"):
        network.bind(**{name: short})(**inputs)

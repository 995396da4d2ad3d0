"""The ControlNet against diffusers' own, alone and with the U-Net that it steers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import ControlNetModel, UNet2DConditionModel

from sdrt.arrays import Array, Numerics
from sdrt.errors import ArrayContractError
from tests.backends.numpy.reference import (
    BOUNDS,
    NUMERICS,
    denoiser_inputs,
    open_network,
    part_folder,
    relative_error,
    torch_controlnet,
    torch_unet,
)
from tests.factories import CONTROLNETS, Form, normal, random_controlnet

SIZES = [(1, 8, 8), (2, 16, 8), (4, 7, 5)]


def controlnet_inputs(form: Form, n: int, height: int, width: int, dtype: str = "float32", scale: int = 8) -> dict[str, Array]:
    picture = np.random.default_rng(9).random((n, 3, scale * height, scale * width)).astype(dtype)
    return denoiser_inputs(form, n, height, width, dtype) | {"controlnet_cond": picture}


@pytest.mark.parametrize("form", CONTROLNETS)
@pytest.mark.parametrize("numerics", NUMERICS)
def test_agrees_with_diffusers(folders: dict[Form, Path], form: Form, numerics: Numerics) -> None:
    """Every residual, for batches with a timestep for each row and sizes that are no multiple of 8."""
    network = open_network(folders[form], "controlnet", numerics)
    reference = torch_controlnet(ControlNetModel.from_pretrained(folders[form] / "controlnet"), numerics)
    for n, height, width in SIZES:
        inputs = controlnet_inputs(form, n, height, width, numerics)
        found, wanted = network(**inputs), reference(**inputs)
        assert list(found) == list(wanted) == list(network.signature.output_names())
        for name in wanted:
            assert found[name].dtype == numerics
            assert relative_error(found[name], wanted[name]) < BOUNDS[numerics], name


@pytest.mark.parametrize("form", CONTROLNETS)
def test_steers_the_unet_as_in_diffusers(folders: dict[Form, Path], form: Form) -> None:
    """Its outputs are the U-Net's optional inputs as they are, and move what the U-Net predicts."""
    inputs = controlnet_inputs(form, 2, 8, 6, "float64")
    residuals = open_network(folders[form], "controlnet", "float64")(**inputs)
    wanted_residuals = torch_controlnet(ControlNetModel.from_pretrained(folders[form] / "controlnet"), "float64")(**inputs)
    del inputs["controlnet_cond"]
    unet = torch_unet(UNet2DConditionModel.from_pretrained(folders[form] / "unet"), "float64")
    found = open_network(folders[form], "unet", "float64")(**inputs, **residuals)["noise_pred"]
    assert relative_error(found, unet(**inputs, **wanted_residuals)) < BOUNDS["float64"]
    assert relative_error(found, unet(**inputs)) > 0.1


SMALL: dict[str, Any] = {
    "block_out_channels": (8, 16, 16),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 32,
    "attention_head_dim": 2,
    "conditioning_embedding_out_channels": (4, 8, 8, 16),
}

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "pooled": {"global_pool_conditions": True},
    "blue first": {"controlnet_conditioning_channel_order": "bgr"},
    "mid block without attention": {"mid_block_type": "UNetMidBlock2D"},
    "four times as large a picture": {"conditioning_embedding_out_channels": (4, 8, 16)},
    "condition only": {"only_cross_attention": (True, False, True)},
    "transformer layers by level": {"transformer_layers_per_block": (1, 2, 3)},
    "heads by level": {"attention_head_dim": (1, 4, 2)},
    "sines first, shifted": {"flip_sin_to_cos": False, "freq_shift": 1},
    "padding below only": {"downsample_padding": 0},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_form_agrees_with_diffusers(tmp_path: Path, name: str) -> None:
    """Each key of a configuration that is built, in float64, where nothing hides behind rounding."""
    config = SMALL | VARIANTS[name]
    controlnet = random_controlnet(config)
    network = open_network(part_folder(tmp_path, "controlnet", controlnet), "controlnet", "float64")
    inputs = controlnet_inputs("sd1", 2, 8, 6, "float64", scale=2 ** (len(config["conditioning_embedding_out_channels"]) - 1))
    for output, wanted in torch_controlnet(controlnet, "float64")(**inputs).items():
        assert relative_error(network(**inputs)[output], wanted) < BOUNDS["float64"], output


@pytest.mark.parametrize("form", CONTROLNETS)
def test_every_input_moves_every_output_that_it_reaches(folders: dict[Form, Path], form: Form) -> None:
    """A change of any row of any input changes that row of the last residual, and no other row of any."""
    network = open_network(folders[form], "controlnet", "float64")
    inputs = controlnet_inputs(form, 2, 8, 8, "float64")
    before = network(**inputs)
    for name, x in inputs.items():
        changed = x.copy()
        # a constant on top of a picture may vanish in a norm: noise does not
        changed[1] += 0.5 * normal(3, *x.shape[1:], dtype="float64")
        after = network(**inputs | {name: changed})
        assert all(relative_error(after[output][:1], before[output][:1]) < 1e-12 for output in before), name
        last = list(before)[-1]
        assert relative_error(after[last][1:], before[last][1:]) > 1e-4, name


@pytest.mark.parametrize("form", CONTROLNETS)
def test_binding_changes_nothing(folders: dict[Form, Path], form: Form) -> None:
    """Each input bound alone, and all of them one by one, give the bytes that they give unbound."""
    network = open_network(folders[form], "controlnet")
    inputs = controlnet_inputs(form, 2, 8, 8)
    wanted = network(**inputs)
    bound = network
    for name, x in inputs.items():
        alone = network.bind(**{name: x})(**{other: y for other, y in inputs.items() if other != name})
        assert all(np.array_equal(alone[output], wanted[output]) for output in wanted), name
        bound = bound.bind(**{name: x})
    found = bound()
    assert all(np.array_equal(found[output], wanted[output]) for output in wanted)


def test_a_picture_of_another_size_is_refused(folders: dict[Form, Path]) -> None:
    """It must be eight times as high and wide as the latents, bound or not."""
    network = open_network(folders["sd1"], "controlnet")
    inputs = controlnet_inputs("sd1", 2, 8, 8)
    picture = inputs.pop("controlnet_cond")[:, :, :48]
    message = r"controlnet input: controlnet_cond is 48x64 pixels for a sample of 8x8; it must be 64x64"
    for call in (lambda: network(**inputs, controlnet_cond=picture), lambda: network.bind(controlnet_cond=picture)(**inputs)):
        with pytest.raises(ArrayContractError, match=message):
            call()
    with pytest.raises(ArrayContractError, match=r"rows differ: sample has 2, controlnet_cond has 1"):
        network(**inputs, controlnet_cond=normal(0, 1, 3, 64, 64))

"""A union ControlNet against diffusers' own: pictures of several sorts at once, on each backend that runs it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetUnionModel
from safetensors.torch import load_file

from sdrt.arrays import Array, Numerics
from sdrt.backends import BackendOptions, Network, registry
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.models import open_component
from tests.factories import UNETS, normal, random_union

BOUNDS: dict[str, float] = {"float32": 1e-4, "float64": 1e-9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("union") / "controlnet"
    random_union().save_pretrained(place)
    return place


@pytest.fixture(params=[("numpy", "float32"), ("numpy", "float64"), ("torch", "float32")], ids="-".join)
def opened(request: pytest.FixtureRequest, folder: Path) -> tuple[Network, Numerics]:
    return open_union(folder, *request.param), request.param[1]


def open_union(folder: Path, backend: str, numerics: Any = "float32") -> Network:
    return registry.get(backend).open("controlnet", open_component(folder, "controlnet"), BackendOptions(numerics=numerics, threads=1))


def inputs_of(rows: int, sorts: list[int], dtype: str, seed: int = 0) -> dict[str, Array]:
    """Two pictures or one of the sorts; every row of the batch alike but for text and timestep, as the rows of a guidance are."""
    count = len(sorts)
    picture = np.random.default_rng(seed).random((1, count, 3, 64, 48))
    inputs = {
        "sample": np.repeat(normal(seed + 1, 1, 4, 8, 6), rows, axis=0),
        "timestep": np.full(rows, 981.0),
        "encoder_hidden_states": normal(seed + 2, rows, 9, UNETS["sdxl"]["cross_attention_dim"]),
        "text_embeds": normal(seed + 3, rows, 24),
        "time_ids": np.tile(np.arange(6) * 73.0, (rows, 1)),
        "controlnet_cond": np.repeat(picture, rows, axis=0),
        "control_scale": np.tile(np.array([1.0] if count == 1 else [0.7, 0.4]), (rows, 1)),
    }
    return {name: x.astype(dtype) for name, x in inputs.items()} | {"control_type": np.tile(np.array(sorts, np.int32), (rows, 1))}


def peer_outputs(union: ControlNetUnionModel, inputs: dict[str, Array], dtype: torch.dtype) -> list[np.ndarray]:
    tensors = {name: torch.from_numpy(x) for name, x in inputs.items()}
    sorts = inputs["control_type"][0].tolist()
    flags = torch.zeros(len(tensors["sample"]), union.config.num_control_type, dtype=dtype)
    flags[:, sorts] = 1
    down, middle = union.to(dtype)(
        tensors["sample"],
        tensors["timestep"],
        tensors["encoder_hidden_states"],
        controlnet_cond=list(tensors["controlnet_cond"].unbind(1)),
        control_type=flags,
        control_type_idx=sorts,
        conditioning_scale=inputs["control_scale"][0].tolist(),
        added_cond_kwargs={"text_embeds": tensors["text_embeds"], "time_ids": tensors["time_ids"]},
        return_dict=False,
    )
    return [each.detach().numpy() for each in (*down, middle)]


def relative_error(found: Array, wanted: Array) -> float:
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("sorts", [[3], [0, 5]], ids=str)
def test_agrees_with_diffusers(opened: tuple[Network, Numerics], folder: Path, sorts: list[int]) -> None:
    network, numerics = opened
    union = ControlNetUnionModel.from_pretrained(folder)
    inputs = inputs_of(2, sorts, numerics)
    found = network(**inputs)
    assert tuple(found) == network.signature.output_names()
    # diffusers embeds timesteps in float32 always
    bound = BOUNDS["float32"]
    for value, wanted in zip(found.values(), peer_outputs(union, inputs, getattr(torch, numerics)), strict=True):
        assert value.dtype == numerics
        assert relative_error(value, wanted) < bound


def test_every_input_moves_its_own_row_alone(opened: tuple[Network, Numerics]) -> None:
    network, numerics = opened
    inputs = inputs_of(2, [0, 5], numerics)
    before = network(**inputs)
    for name, x in inputs.items():
        changed = x.copy()
        if name == "control_type":
            changed[1] = [1, 5]
        elif name == "timestep":
            changed[1] = 300
        else:
            changed[1] += (0.5 * normal(3, *x.shape[1:])).astype(x.dtype)
        after = network(**inputs | {name: changed})
        last = list(before)[-1]
        assert all(relative_error(after[output][:1], before[output][:1]) < 1e-5 for output in before), name
        assert relative_error(after[last][1:], before[last][1:]) > 1e-4, name


def test_binding_changes_nothing(opened: tuple[Network, Numerics]) -> None:
    network, numerics = opened
    inputs = inputs_of(2, [0, 5], numerics)
    wanted = network(**inputs)
    own = ("controlnet_cond", "control_type", "control_scale")
    rest = {name: x for name, x in inputs.items() if name not in own}
    together = network.bind(**{name: inputs[name] for name in own})(**rest)
    one_by_one = network
    for name in own:
        one_by_one = one_by_one.bind(**{name: inputs[name]})
    for found in (together, one_by_one(**rest)):
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name])


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_what_the_signature_cannot_exclude_is_refused(folder: Path, backend: str) -> None:
    network = open_union(folder, backend)
    inputs = inputs_of(1, [0, 5], "float32")
    for sorts, message in (
        ([[0, 6]], "control_type must be from 0 to 5, got 0 to 6"),
        ([[1]], "must be of as many pictures, at least one, got"),
    ):
        wrong = {"control_type": np.array(sorts, np.int32)}
        with pytest.raises(ArrayContractError, match=message):
            network(**inputs | wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_trans_channel": 64}, "num_trans_channel must be the first of block_out_channels, 32, got 64"),
        ({"num_trans_head": 5}, "num_trans_head must divide num_trans_channel, 32, got 5"),
        ({"num_control_type": 0}, "num_control_type must be a whole number from 1 to 1000, got 0"),
        (
            {"addition_embed_type": None, "addition_time_embed_dim": None},
            "addition_time_embed_dim must be the width of an embedded control",
        ),
    ],
    ids=str,
)
def test_a_configuration_that_does_not_fit_together_is_refused(folder: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    config = json.loads((folder / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=message):
        open_component(tmp_path, "controlnet").config("controlnet")


def test_xinsirs_own_name_of_the_class_means_the_same(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"_class_name": "ControlNetModel_Union"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    own, other = (open_component(place, "controlnet").config("controlnet") for place in (folder, tmp_path))
    assert {**other, "_class_name": "ControlNetUnionModel"} == own


def test_every_tensor_is_random_and_used(folder: Path) -> None:
    """Those that start at zero, or at one, too."""
    tensors = load_file(next(folder.glob("*.safetensors")))
    assert all(tensor.std() > 0 for tensor in tensors.values() if tensor.numel() > 1)
    network = open_component(folder, "controlnet").tensors("controlnet")
    assert set(network) == set(tensors)


def test_openvino_says_that_it_runs_no_union(folder: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'sdrt[openvino]'")
    with pytest.raises(
        ConfigError, match="a ControlNet for OpenVINO must take one sort of picture, got a union; run it on backend 'torch'"
    ):
        open_union(folder, "openvino")

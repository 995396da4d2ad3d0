"""Checkpoints in one file: every tensor is found under diffusers' name, as diffusers' own converters find it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.loaders import single_file_utils as peer
from safetensors.torch import save_file

from sdrt.models import ComponentName, Model, SingleFileModel, open_component, open_model
from tests.models.families import FAMILIES, Checkpoint, Family, controlnet, narrow, published, save_original
from tests.models.original_names import original_controlnet, original_vae, write_hollow


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = request.param
    return chosen


@pytest.fixture(scope="module")
def random(family: Family) -> Checkpoint:
    return narrow(family)


@pytest.fixture(scope="module")
def model(random: Checkpoint, family: Family, tmp_path_factory: pytest.TempPathFactory) -> SingleFileModel:
    opened = open_model(save_original(random, tmp_path_factory.mktemp("file") / f"{family}.safetensors"))
    assert isinstance(opened, SingleFileModel)
    return opened


@pytest.fixture(scope="module")
def wide(family: Family) -> Checkpoint:
    return published(family)


@pytest.fixture
def hollow(wide: Checkpoint, tmp_path: Path) -> SingleFileModel:
    write_hollow(wide.original, tmp_path / "model.safetensors")
    return SingleFileModel(tmp_path / "model.safetensors", "model")


def peers_tensors(checkpoint: Checkpoint, component: ComponentName) -> dict[str, torch.Tensor]:
    """What diffusers' converters make of the original names."""
    original, modules = dict(checkpoint.original), checkpoint.modules
    if component == "unet":
        return dict(peer.convert_ldm_unet_checkpoint(original, modules["unet"].config))
    if component in ("vae_decoder", "vae_encoder"):
        return dict(peer.convert_ldm_vae_checkpoint(original, modules["vae"].config))
    prefixes = [
        prefix for prefix in ("cond_stage_model.model.", "conditioner.embedders.1.model.") if any(n.startswith(prefix) for n in original)
    ]
    if component == "text_encoder" and not (prefixes and prefixes[0].startswith("cond_stage")):
        found = peer.convert_ldm_clip_checkpoint(original)
    else:
        found = peer.convert_open_clip_checkpoint(modules[component], original, prefix=(prefixes or ["conditioner.embedders.0.model."])[0])
    return {name.removeprefix("text_model."): tensor for name, tensor in found.items() if not name.endswith("position_ids")}


def check_equal(model: Model, component: ComponentName, want: Mapping[str, torch.Tensor]) -> None:
    found = model.tensors(component)
    assert sorted(found) == sorted(want)
    for name, tensor in want.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), err_msg=name)


def test_every_tensor_comes_back(model: SingleFileModel, random: Checkpoint) -> None:
    assert {"unet", "vae_decoder", "vae_encoder"} < set(model.components)
    for component in model.components:
        check_equal(model, component, random.tensors(component))


def test_diffusers_converters_find_the_same(model: SingleFileModel, random: Checkpoint) -> None:
    for component in model.components:
        check_equal(model, component, peers_tensors(random, component))


def test_every_tensor_is_a_view_of_the_file(model: SingleFileModel) -> None:
    for component in model.components:
        for name, array in model.tensors(component).items():
            assert not array.flags.owndata, name
            assert not array.flags.writeable, name


def test_published_shapes_are_found_as_diffusers_finds_them(hollow: SingleFileModel, wide: Checkpoint) -> None:
    """At the real widths and depths: by name and shape, since the file is hollow."""
    for component in hollow.components:
        found = hollow.tensors(component)
        shapes = {name: found.shape(name) for name in found}
        assert shapes == {name: tuple(tensor.shape) for name, tensor in wide.tensors(component).items()}
        assert shapes == {name: tuple(tensor.shape) for name, tensor in peers_tensors(wide, component).items()}


# Bookkeeping, and the size of a picture that nobody asked for.
_NO_NUMBER = {"_class_name", "architectures", "sample_size"}


def test_published_configurations_follow_from_shapes(hollow: SingleFileModel, wide: Checkpoint, family: Family) -> None:
    for component in hollow.components:
        module = wide.modules["vae" if component.startswith("vae") else component]
        want: Mapping[str, Any] = module.config if component in ("unet", "vae_decoder", "vae_encoder") else module.config.to_dict()
        found = hollow.config(component)
        compared = {key: want[key] for key in found if key in want and key not in _NO_NUMBER}
        assert len(compared) > 8
        got = {key: found[key] for key in compared}
        # diffusers takes one number for all levels, or one a level
        assert {key: list(v) if isinstance(v, tuple) else v for key, v in got.items()} == {
            key: list(v) if isinstance(v, tuple) else v for key, v in compared.items()
        } | ({"scaling_factor": 0.13025} if component.startswith("vae") and family in ("sdxl", "refiner") else {})
    assert hollow.config("unet")["sample_size"] == want_sample_size(family)


def want_sample_size(family: Family) -> int:
    # the weights that tell the models of 768 pixels from those of 512 are zeros here
    return {"sd1": 64, "inpaint": 64, "sd2": 64, "sdxl": 128, "refiner": 128}[family]


@pytest.mark.parametrize("prefix", ["control_model.", ""])
def test_a_controlnet_comes_back(prefix: str, tmp_path: Path) -> None:
    module = controlnet(wide=False)
    original = original_controlnet(module.state_dict(), module.config, prefix)
    save_file(original, tmp_path / "control.safetensors")
    opened = open_component(tmp_path / "control.safetensors", "controlnet")
    check_equal(opened, "controlnet", module.state_dict())
    check_equal(opened, "controlnet", peer.convert_controlnet_checkpoint(dict(original), module.config))


def test_a_published_controlnet_is_found_by_name_and_shape(tmp_path: Path) -> None:
    module = controlnet(wide=True)
    original = original_controlnet(module.state_dict(), module.config)
    write_hollow(original, tmp_path / "control.safetensors")
    opened = open_component(tmp_path / "control.safetensors", "controlnet")
    found = opened.tensors("controlnet")
    converted = peer.convert_controlnet_checkpoint(original, module.config)
    for want in (module.state_dict(), converted):
        assert {name: found.shape(name) for name in found} == {name: tuple(tensor.shape) for name, tensor in want.items()}
    config = opened.config("controlnet")
    shared = config.keys() & module.config.keys() - _NO_NUMBER
    assert len(shared) > 8
    for key in shared:
        want, got = module.config[key], config[key]
        assert (list(want) if isinstance(want, tuple) else want) == (list(got) if isinstance(got, tuple) else got), key


@pytest.mark.parametrize("prefix", ["first_stage_model.", ""])
def test_a_vae_by_itself_comes_back(prefix: str, tmp_path: Path) -> None:
    vae = narrow("sd1").modules["vae"]
    original = original_vae(vae.state_dict(), 4, prefix)
    assert all(name.startswith(prefix) for name in original)
    save_file(
        {name: tensor.contiguous() for name, tensor in original.items()} | {"loss.logvar": torch.zeros(1)}, tmp_path / "vae.safetensors"
    )
    opened = open_component(tmp_path / "vae.safetensors", "vae_decoder", scaling_factor=0.13025)
    check_equal(opened, "vae_decoder", vae.state_dict())
    check_equal(opened, "vae_encoder", peer.convert_ldm_vae_checkpoint(dict(original), vae.config))
    assert opened.config("vae_encoder")["scaling_factor"] == 0.13025

"""How modules are built and filled: from weights of any dtype, under the names and in the precision that each component asks for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sdrt.backends.torch.construction import open_module
from sdrt.models import ComponentName, open_model
from tests.backends.cases import inputs_of, open_case, relative_error


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("low_memory", [False, True])
def test_weights_of_half_size_are_widened_exactly(sd1: Path, tmp_path: Path, stored: torch.dtype, low_memory: bool) -> None:
    """What numpy makes of the same file; and not what the float32 file gives, which would mean that it was not read."""
    folder = shutil.copytree(sd1, tmp_path / "model")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({name: x.to(stored) for name, x in load_file(file).items()}, file)
    inputs = inputs_of("sd1", "vae_decoder")
    found = open_case("torch", folder, "vae_decoder", low_memory=low_memory)(**inputs)["image"]
    assert relative_error(found, open_case("numpy", folder, "vae_decoder")(**inputs)["image"]) < 1e-5
    assert relative_error(found, open_case("torch", sd1, "vae_decoder")(**inputs)["image"]) > 1e-4


def test_an_autoencoder_that_outgrows_float16_stays_float32(sd1: Path, tmp_path: Path) -> None:
    """SDXL's says so of itself; other components of the model, and other autoencoders, become float16."""
    folder = shutil.copytree(sd1, tmp_path / "model")
    file = folder / "vae" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"force_upcast": True}))
    components: list[tuple[ComponentName, torch.dtype]] = [
        ("vae_decoder", torch.float32),
        ("vae_encoder", torch.float32),
        ("unet", torch.float16),
    ]
    for component, dtype in components:
        module = open_module(component, open_model(folder), dtype=torch.float16)
        assert {x.dtype for x in module.parameters()} == {dtype}, component
    file.write_text(json.dumps(json.loads(file.read_text()) | {"force_upcast": False}))
    assert next(open_module("vae_decoder", open_model(folder), dtype=torch.float16).parameters()).dtype == torch.float16


def test_a_controlnet_that_wants_blue_first(sd1: Path, tmp_path: Path) -> None:
    """The picture's channels are turned round, in a call and where the picture is bound; the embedding's are not."""
    folder = shutil.copytree(sd1, tmp_path / "model")
    file = folder / "controlnet" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"controlnet_conditioning_channel_order": "bgr"}))
    plain, reversing = open_case("torch", sd1, "controlnet"), open_case("torch", folder, "controlnet")
    inputs = inputs_of("sd1", "controlnet")
    picture = inputs.pop("controlnet_cond")
    wanted = plain(**inputs, controlnet_cond=np.ascontiguousarray(picture[:, ::-1]))
    other = plain(**inputs, controlnet_cond=picture)
    for found in (reversing(**inputs, controlnet_cond=picture), reversing.bind(controlnet_cond=picture)(**inputs)):
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
        assert any(relative_error(found[name], other[name]) > 1e-3 for name in other)


def test_nothing_stays_without_memory(sd1: Path) -> None:
    """Modules are built on torch's device without memory: every parameter and buffer has to be given one."""
    for component in open_model(sd1).components:
        module = open_module(component, open_model(sd1))
        assert {x.device.type for x in (*module.parameters(), *module.buffers())} == {"cpu"}, component
        assert not any(x.requires_grad for x in module.parameters())
        assert not module.training

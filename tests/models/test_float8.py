"""Weights of eight bits: every code as torch reads it, with and without scales beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sdrt.backends import BackendOptions, registry
from sdrt.backends.pool import NetworkPool
from sdrt.errors import WeightsError
from sdrt.models import open_component, open_model
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.float8 import float8_table
from tests.models.families import narrow

DTYPES = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_code_is_torchs(dtype: str) -> None:
    codes = torch.arange(256, dtype=torch.uint8).view(DTYPES[dtype])
    np.testing.assert_array_equal(float8_table(dtype), codes.float().numpy())
    assert (np.signbit(float8_table(dtype)) == np.signbit(codes.float().numpy()))[:127].all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_tensor_of_eight_bits_is_read(dtype: str, suffix: str, tmp_path: Path) -> None:
    values = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).to(DTYPES[dtype])
    file = tmp_path / f"model{suffix}"
    save_file({"w": values}, file) if suffix == ".safetensors" else torch.save({"w": values}, file)
    found = ComponentTensors([file]).take("w", (5, 7))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.float().numpy())


@pytest.mark.parametrize("scale_name", ["scale_weight", "weight_scale"])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (5, 1)])
def test_a_scale_multiplies_its_weight_and_is_no_tensor_itself(scale_name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    stored = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).to(torch.float8_e4m3fn)
    scale = torch.linspace(0.5, 2, max(int(np.prod(shape)), 1)).reshape(shape)
    file = tmp_path / "model.safetensors"
    save_file({"x.weight": stored, f"x.{scale_name}": scale, "x.scale_input": torch.ones(()), "x.bias": torch.ones(5)}, file)
    found = ComponentTensors([file])
    assert sorted(found) == ["x.bias", "x.weight"]
    np.testing.assert_array_equal(found.take("x.weight", (5, 7)), (stored.float() * scale.reshape(-1, 1)).numpy())


@pytest.mark.parametrize(
    ("scale", "shown"),
    [(torch.ones(3), r"F32 of shape \[3\]"), (torch.tensor(torch.nan), "F32"), (torch.ones(5, dtype=torch.int32), "I32")],
)
def test_a_scale_that_fits_no_row_is_named(scale: torch.Tensor, shown: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"x.weight": torch.ones(5, 7).to(torch.float8_e5m2), "x.scale_weight": scale}, file)
    with pytest.raises(WeightsError, match=rf"tensor 'x\.scale_weight' must be a finite number, or one for each of 5 rows, got {shown}"):
        ComponentTensors([file]).take("x.weight", (5, 7))


def test_a_code_that_is_no_number_is_named(tmp_path: Path) -> None:
    save_file({"w": torch.tensor([1.0, torch.nan]).to(torch.float8_e4m3fn)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="tensor 'w' holds 1 NaN"):
        ComponentTensors([tmp_path / "model.safetensors"]).take("w", (2,))


def eight_bits(tensors: dict[str, Any], scaled: bool) -> dict[str, Any]:
    """What ComfyUI's savers make of a checkpoint: the U-Net's matrices in eight bits, each with its scale, and a mark."""
    found = dict(tensors)
    for name, tensor in tensors.items():
        if name.startswith("model.diffusion_model.") and name.endswith(".weight") and tensor.ndim == 2:
            scale = tensor.abs().max() / 448 if scaled else torch.ones(())
            found[name] = (tensor / scale).to(torch.float8_e4m3fn)
            if scaled:
                found[name.replace(".weight", ".scale_weight")] = scale.reshape(())
    return found | ({"model.diffusion_model.scaled_fp8": torch.empty(2, dtype=torch.float8_e4m3fn)} if scaled else {})


def widened(tensors: dict[str, Any]) -> dict[str, Any]:
    """The same numbers in float32, by torch."""
    found = {}
    for name, tensor in tensors.items():
        scale = tensors.get(name.replace(".weight", ".scale_weight"))
        if not name.endswith((".scale_weight", "scaled_fp8")):
            found[name] = tensor.float() * (scale if scale is not None and name.endswith(".weight") else 1)
    return found


@pytest.mark.parametrize("scaled", [True, False], ids=["scaled", "plain"])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_checkpoint_of_eight_bits_computes_what_its_wide_form_does(scaled: bool, backend: str, tmp_path: Path) -> None:
    small = eight_bits({name: tensor.contiguous() for name, tensor in narrow("sd1").original.items()}, scaled)
    assert sum(tensor.dtype == torch.float8_e4m3fn for tensor in small.values()) > 100
    save_file(small, tmp_path / "small.safetensors")
    save_file(widened(load_file(tmp_path / "small.safetensors")), tmp_path / "wide.safetensors")
    outputs = []
    for file in ("small.safetensors", "wide.safetensors"):
        pool = NetworkPool(open_model(tmp_path / file), {"unet": registry.get(backend)}, {"unet": BackendOptions(threads=1)})
        generator = np.random.default_rng(0)
        shapes = {"sample": (1, 4, 8, 8), "encoder_hidden_states": (1, 3, 64)}
        inputs = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        outputs.append(pool.get("unet")(timestep=np.array([500], np.float32), **inputs)["noise_pred"])
        assert pool.remarks == {}
        pool.close()
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_scales_without_a_weight_of_eight_bits_stay_tensors(tmp_path: Path) -> None:
    module = narrow("sd1").modules["vae"]
    module.save_pretrained(tmp_path / "vae")
    file = next((tmp_path / "vae").glob("*.safetensors"))
    save_file(load_file(file) | {"decoder.conv_in.scale_weight": torch.ones(())}, file, metadata={"format": "pt"})
    model = open_component(tmp_path / "vae", "vae_decoder")
    pool = NetworkPool(model, {"vae_decoder": registry.get("numpy")}, {"vae_decoder": BackendOptions(threads=1)})
    with pytest.raises(WeightsError, match=r"'decoder\.conv_in\.scale_weight'"):
        pool.get("vae_decoder")

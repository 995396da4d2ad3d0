"""Model folders: what is read, and what is said of one that is damaged."""

import json
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from sdrt.errors import ConfigError, MissingExtraError, MissingFileError, ModelError, SdrtError, WeightsError
from sdrt.models import ComponentTensors, ModelFolder, open_model, path
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.stored_tensor import Place
from tests.factories import save_pipeline_folder


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1")


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "model"))


def test_weights_are_the_stored_ones_in_every_dtype(tmp_path: Path) -> None:
    tensors = {
        str(dtype): torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    }
    tensors |= {"scalar": torch.tensor(1.5), "empty": torch.zeros(0, 4)}
    save_file(tensors, tmp_path / "model.safetensors")
    weights = ComponentTensors([tmp_path / "model.safetensors"])
    assert sorted(weights) == sorted(tensors)
    for name, tensor in tensors.items():
        want = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        np.testing.assert_array_equal(weights[name], want.numpy())
        assert weights[name].dtype == want.numpy().dtype
        assert not weights[name].flags.writeable or tensor.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("component", "stored", "canonical"),
    [
        ("text_encoder", "text_model.encoder.layers.0.mlp.fc1.weight", "encoder.layers.0.mlp.fc1.weight"),
        ("vae_encoder", "encoder.mid_block.attentions.0.query.weight", "encoder.mid_block.attentions.0.to_q.weight"),
        ("vae_decoder", "decoder.mid_block.attentions.0.proj_attn.bias", "decoder.mid_block.attentions.0.to_out.0.bias"),
        ("unet", "mid_block.attentions.0.query.weight", "mid_block.attentions.0.query.weight"),
    ],
)
def test_names_of_older_writers_are_brought_to_todays(component: ComponentName, stored: str, canonical: str) -> None:
    assert COMPONENTS[component].canonical_name(stored) == canonical


def test_a_good_folder_says_what_it_is(folder: Path) -> None:
    model = ModelFolder(folder, "model")
    assert model.config("unet")["cross_attention_dim"] == 32
    assert model.config("vae_decoder")["shift_factor"] is None
    assert model.scheduler_config["_class_name"] == "DDIMScheduler"
    assert model.defaults == {}
    assert "conv_in.weight" in model.tensors("unet")


def read_all(folder: Path) -> None:
    model = ModelFolder(folder, "model")
    assert model.defaults is not None
    model.config("unet")
    model.tensors("unet")


def remove(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        target = folder / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return damage


def write(name: str, content: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_text(content)

    return damage


UNET = "unet/diffusion_pytorch_model.safetensors"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3438167534\n"


def cut(folder: Path) -> None:
    whole = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(whole[: len(whole) // 2])


def pickled(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model.bin")


def huge_header(folder: Path) -> None:
    (folder / UNET).write_bytes(struct.pack("<Q", 2**60) + b"{}")


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (remove("unet"), MissingFileError, r"has no unet/ \(found: scheduler, text_encoder, tokenizer, vae\)"),
        (remove("tokenizer"), MissingFileError, r"has no tokenizer/"),
        (remove("unet/config.json"), MissingFileError, r"unet/config\.json: not found"),
        (remove(UNET), MissingFileError, r"unet: has none of model\.safetensors, diffusion_pytorch_model\.safetensors"),
        (pickled, MissingFileError, r"diffusion_pytorch_model\.bin would have to be unpickled"),
        (write(UNET, LFS), WeightsError, r"safetensors: a Git-LFS pointer, not the file itself; run 'git lfs pull'"),
        (write(UNET, ""), WeightsError, r"not a whole safetensors file"),
        (cut, WeightsError, r"not a whole safetensors file"),
        (huge_header, WeightsError, r"not a whole safetensors file"),
        (write("unet/config.json", "{"), ModelError, r"config\.json: not readable as JSON"),
        (write("unet/config.json", "[]"), ModelError, r"config\.json: must hold a JSON object, got a list"),
        (
            write("unet/config.json", '{"_class_name": "FluxTransformer2DModel"}'),
            ModelError,
            r"the class of a unet must be UNet2DConditionModel, got FluxTransformer2DModel",
        ),
        (
            write("sdrt.json", '{"num_inference_steps": "many"}'),
            ModelError,
            r"num_inference_steps must be a whole number of at least 1, got 'many'",
        ),
        (write("sdrt.json", '{"height": true}'), ModelError, r"height must be a whole number of at least 1, got True"),
    ],
)
def test_a_damaged_folder_is_one_error_that_names_the_file(
    folder: Path, damage: Callable[[Path], None], error: type[SdrtError], message: str
) -> None:
    damage(folder)
    with pytest.raises(error, match=message) as caught:
        read_all(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_wrong_tensor_is_named_with_its_file(folder: Path) -> None:
    weights = ModelFolder(folder, "model").tensors("unet")
    with pytest.raises(
        WeightsError, match=r"tensor 'conv_in\.weight' must have shape \[320, 4, 3, 3\] by config\.json, got \[32, 4, 3, 3\]"
    ):
        weights.take("conv_in.weight", (320, 4, 3, 3))
    with pytest.raises(WeightsError, match=r"tensor 'conv_inn\.weight' of shape \[1\] is missing"):
        weights.take("conv_inn.weight", (1,))


def test_weights_that_are_integers_or_nan_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"quantised": torch.zeros(2, dtype=torch.int8), "burnt": torch.tensor([1.0, torch.nan])}, file)
    weights = ComponentTensors([file])
    with pytest.raises(WeightsError, match=r"tensor 'quantised' must be stored as .*, got I8"):
        weights.take("quantised", (2,))
    with pytest.raises(WeightsError, match=r"tensor 'burnt' holds 1 NaN or infinite values"):
        weights.take("burnt", (2,))


def test_one_tensor_under_two_names_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"norm.bias": torch.zeros(2), "text_model.norm.bias": torch.ones(2)}, file)
    with pytest.raises(WeightsError, match=r"norm\.bias.*is there twice"):
        ComponentTensors([file], lambda stored: [Place(COMPONENTS["text_encoder"].canonical_name(stored))])


@given(st.binary(max_size=200))
def test_no_bytes_make_anything_but_a_weights_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("bytes") / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(WeightsError):
        ComponentTensors([file])


def test_a_tensor_of_unknown_dtype_is_named(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    header = json.dumps({"w": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(WeightsError, match=r"tensor 'w' must be stored as .*, got F8_E8M0"):
        ComponentTensors([file])


def test_names_of_models(folder: Path) -> None:
    assert open_model("nano").path == path("nano")
    assert open_model(folder).name == "model"
    with pytest.raises(
        ConfigError,
        match=r"name must be that of an embedded model \(nano, nano-inpaint, .*, nano-quick, nano-upscale\), got 'giant'",
    ):
        path("giant")
    with pytest.raises(MissingFileError, match=r"no such folder; pass a folder in diffusers' layout, 'nano', or a repository's name"):
        open_model("no/such/folder")
    assert issubclass(MissingFileError, FileNotFoundError)


def test_a_repository_is_found_in_the_hubs_cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache" / "models--someone--tiny"
    snapshot = cache / "snapshots" / ("0" * 40)
    shutil.copytree(folder, snapshot)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache.parent))
    model = open_model("someone/tiny")
    assert (model.path, model.name) == (snapshot, "someone/tiny")
    with pytest.raises(
        MissingFileError, match=r"^someone/huge: no such folder, nor in the Hub's cache, and HF_HUB_OFFLINE is set; unset it"
    ):
        open_model("someone/huge")


def test_without_the_hubs_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"no such folder, .* install the extra: pip install 'sdrt\[hub\]'"):
        open_model("someone/tiny")

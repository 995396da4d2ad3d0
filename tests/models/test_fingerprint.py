"""Weights are told apart without being read whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.models import open_model
from sdrt.models.fingerprint import fingerprint
from tests.factories import random_unet, save_pipeline_folder


def write(file: Path, size: int, seed: int = 0) -> Path:
    file.write_bytes(np.random.default_rng(seed).bytes(size))
    return file


def test_the_same_bytes_have_one_fingerprint_wherever_they_lie(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.bin", 500_000), write(tmp_path / "b.bin", 500_000)
    assert fingerprint([one]) == fingerprint([two])
    assert len(fingerprint([one])) == 16
    folder = tmp_path / "a.mlpackage" / "Data"
    folder.mkdir(parents=True)
    write(folder / "weight.bin", 500_000)
    assert fingerprint([tmp_path / "a.mlpackage"]) == fingerprint([one])


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 500_000])
def test_another_byte_in_front_another_size_or_another_order_shows(tmp_path: Path, size: int) -> None:
    plain = write(tmp_path / "a.bin", size)
    longer = write(tmp_path / "b.bin", size + 1)
    assert fingerprint([plain]) != fingerprint([longer])
    assert fingerprint([plain, longer]) != fingerprint([longer, plain])
    if size:
        changed = tmp_path / "c.bin"
        changed.write_bytes(bytes([plain.read_bytes()[0] ^ 1]) + plain.read_bytes()[1:])
        assert fingerprint([plain]) != fingerprint([changed])


def test_weights_that_were_trained_on_differ(tmp_path: Path) -> None:
    """Every tensor moves a little; names and shapes stay."""
    model = open_model(save_pipeline_folder(tmp_path / "model"))
    before = {component: fingerprint(model.files(component)) for component in ("unet", "vae_decoder", "text_encoder")}
    assert len(set(before.values())) == 3
    unet = random_unet({**model.config("unet")}, seed=1)
    for tensor in unet.parameters():
        tensor.data *= 1.001
    unet.save_pretrained(tmp_path / "model" / "unet")
    assert fingerprint(model.files("unet")) != before["unet"]
    assert fingerprint(model.files("vae_decoder")) == before["vae_decoder"]


def test_files_are_found_without_being_read(tmp_path: Path) -> None:
    folder = save_pipeline_folder(tmp_path / "model")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(b"no safetensors at all")
    model = open_model(folder)
    assert model.files("unet") == (weights,)
    assert model.with_override(open_model("nano")).files("unet") == open_model("nano").files("unet")
    weights.unlink()
    with pytest.raises(MissingFileError):
        model.files("unet")


def test_what_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "pointer").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    for file in (tmp_path / "pointer", tmp_path / "none", tmp_path / "nul\0"):
        with pytest.raises(ModelError):
            fingerprint([file])


@pytest.mark.parametrize("paths", ["unet", b"unet", None, 3, [3], [None], ["nul\0"]])
def test_what_is_no_list_of_paths_is_one_error(paths: Any) -> None:
    with pytest.raises((ConfigError, ModelError), match="path"):
        fingerprint(paths)

"""What a file of weights is by its first bytes: read as that, or named."""

import io
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sdrt.errors import MissingFileError, ModelError, WeightsError
from sdrt.models import ComponentTensors, open_component, open_model
from sdrt.models.lora.matching import open_lora
from sdrt.models.safetensors_file import read_metadata
from sdrt.models.weight_format import weight_format


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, b"x" * 100)
    return stream.getvalue()


OTHERS = {
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(100), "a GGUF file, whose quantised weights are for other programs; fetch the model as safetensors"),
    "page": (b"\n<!DOCTYPE html><html>", "a web page or XML, not weights; the download went wrong"),
    "json": (b'{"error": "Invalid username or password."}', "JSON, not weights"),
    "zip": (zipped("unet/config.json"), "a zip archive, not weights; unpack it"),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(20), "packed with gzip; unpack it first"),
    "pickle": (pickle.dumps({"a": 1}, protocol=2), "a pickle by its first bytes, which can run code, under the name of safetensors"),
    "torch": (zipped("model/data.pkl"), "a pickle by its first bytes, which can run code, under the name of safetensors"),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "a Git-LFS pointer, .*; run 'git lfs pull'",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_file_under_the_name_of_safetensors_is_named_for_what_it_is(kind: str, tmp_path: Path) -> None:
    content, message = OTHERS[kind]
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    vae, lora = (lambda file: open_component(file, "vae_decoder")), (lambda file: open_lora(file, open_model("nano")))
    for read in (weight_format, open_model, vae, lora, read_metadata, lambda file: ComponentTensors([file])):
        with pytest.raises(WeightsError, match=message):
            read(file)


@pytest.mark.parametrize("kind", ["GGUF", "page", "zip", "gzip", "pointer"])
def test_another_file_under_the_name_of_a_pickle_is_named_too(kind: str, tmp_path: Path) -> None:
    content, message = OTHERS[kind]
    (tmp_path / "model.ckpt").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        open_model(tmp_path / "model.ckpt", pickled="weights_only")


def test_safetensors_under_the_name_of_a_pickle_are_read_without_leave(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(checkpoint.read_bytes())
    model, want = open_model(tmp_path / "model.ckpt"), open_model(checkpoint)
    assert model.scheduler_config == want.scheduler_config
    np.testing.assert_array_equal(model.tensors("unet")["conv_in.weight"], want.tensors("unet")["conv_in.weight"])


def test_a_checkpoint_without_its_ending_is_read_by_its_bytes(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "v1-5").write_bytes(checkpoint.read_bytes())
    assert open_model(tmp_path / "v1-5").components == open_model(checkpoint).components
    torch.save(load_file(checkpoint), tmp_path / "v1-4")
    with pytest.raises(ModelError, match="a pickle by its first bytes"):
        open_model(tmp_path / "v1-4")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
def test_the_class_of_a_trainer_in_a_ckpt_is_named_with_the_way_out(
    legacy: bool, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = types.ModuleType("some_trainer")
    monkeypatch.setitem(sys.modules, "some_trainer", trainer)
    state = type("TrainState", (), {"__module__": "some_trainer"})
    monkeypatch.setattr(trainer, "TrainState", state, raising=False)
    torch.save({"state_dict": load_file(checkpoint), "state": state()}, tmp_path / "model.ckpt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match=r"holds an object of some_trainer\.TrainState, and was not unpickled; .*save_file") as caught:
        open_model(tmp_path / "model.ckpt", pickled="weights_only")
    assert not {"\x1b", "\n", "weights_only="} & {str(caught.value)}
    assert "x1b" not in str(caught.value)


def test_a_header_of_any_length_is_still_safetensors(tmp_path: Path) -> None:
    """A header of 640 bytes begins as a pickle does."""
    body = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(640)
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 640) + body + bytes(4))
    assert weight_format(tmp_path / "a.safetensors") == "safetensors"
    assert ComponentTensors([tmp_path / "a.safetensors"])["a"] == 0


def test_nothing_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="not found"):
        weight_format(tmp_path / "none.safetensors")


def test_a_pickle_where_safetensors_are_wanted_is_refused_as_one(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "lora.pt")
    with pytest.raises(WeightsError, match=r"lora\.pt would have to be unpickled"):
        open_lora(tmp_path / "lora.pt", open_model("nano"))

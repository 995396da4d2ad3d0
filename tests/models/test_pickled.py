"""Pickled weights: refused unless asked for, and then tensors are read from them and nothing else."""

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sdrt.errors import MissingExtraError, MissingFileError, WeightsError
from sdrt.models import ComponentTensors, SingleFileModel, open_component, open_model
from sdrt.models.pickled import read_tensors
from tests.models.families import controlnet
from tests.models.original_names import original_controlnet

UNET = "diffusion_pytorch_model"


class Bomb:
    """Unpickling it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.fixture
def pickled(folder: Path) -> Path:
    """The folder whose U-Net is a .bin, as diffusers wrote them."""
    file = folder / "unet" / f"{UNET}.safetensors"
    torch.save(load_file(file), folder / "unet" / f"{UNET}.bin")
    file.unlink()
    return folder


def test_a_pickle_is_refused_with_both_ways_out(pickled: Path, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(
        MissingFileError, match=r"model\.bin would have to be unpickled, .*: convert it to safetensors first, or .*pickled='weights_only'"
    ):
        open_model(pickled).tensors("unet")
    for name in ("model.ckpt", "model.pt", "model.pth"):
        torch.save(load_file(checkpoint), tmp_path / name)
        with pytest.raises(MissingFileError, match=rf"{name} would have to be unpickled"):
            open_model(tmp_path / name)
        with pytest.raises(MissingFileError, match=rf"{name} would have to be unpickled"):
            open_component(tmp_path / name, "vae_decoder")


def test_weights_only_reads_the_same_tensors(pickled: Path, pristine: dict[str, Path]) -> None:
    found, want = open_model(pickled, pickled="weights_only").tensors("unet"), open_model(pristine["sd1"]).tensors("unet")
    assert sorted(found) == sorted(want)
    assert all((found[name] == want[name]).all() for name in want)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "state_dict"])
def test_a_ckpt_is_the_same_model(checkpoint: Path, tmp_path: Path, legacy: bool, nested: bool) -> None:
    tensors = load_file(checkpoint)
    content = {"state_dict": tensors, "global_step": 875000} if nested else tensors
    torch.save(content, tmp_path / "model.ckpt", _use_new_zipfile_serialization=not legacy)
    model, want = open_model(tmp_path / "model.ckpt", pickled="weights_only"), open_model(checkpoint)
    assert isinstance(model, SingleFileModel)
    assert (model.components, model.scheduler_config) == (want.components, want.scheduler_config)
    for component in want.components:
        assert model.config(component) == want.config(component)
        found = model.tensors(component)
        assert all((found[name] == array).all() for name, array in want.tensors(component).items())


def test_a_pickled_controlnet_opens(tmp_path: Path) -> None:
    module = controlnet(wide=False)
    torch.save(original_controlnet(module.state_dict(), module.config), tmp_path / "control.pth")
    opened = open_component(tmp_path / "control.pth", "controlnet", pickled="weights_only")
    found = opened.tensors("controlnet")
    assert all((found[name] == tensor.numpy()).all() for name, tensor in module.state_dict().items())


def test_every_dtype_and_a_strided_tensor_are_the_stored_ones(tmp_path: Path) -> None:
    base = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    tensors = {str(dtype): base.to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)}
    tensors |= {"turned": base.T, "scalar": torch.tensor(1.5), "empty": torch.zeros(0, 4)}
    torch.save(tensors, tmp_path / "model.bin")
    weights = ComponentTensors([tmp_path / "model.bin"])
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(weights[name], (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
def test_code_in_a_pickle_never_runs(pickled: Path, tmp_path: Path, legacy: bool) -> None:
    trace, file = tmp_path / "it ran", pickled / "unet" / f"{UNET}.bin"
    bomb = {"conv_in.weight": torch.zeros(1), "bomb": Bomb(f"touch '{trace}'")}
    torch.save(bomb, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        WeightsError, match=r"holds an object of (os|posix|nt)\.system, and was not unpickled; where you trust it"
    ) as caught:
        open_model(pickled, pickled="weights_only").tensors("unet")
    assert "\n" not in str(caught.value)
    assert not trace.exists()
    torch.load(file, weights_only=False)
    assert trace.exists(), "the bomb is a real one"


# protocol 2 is torch's own: about another one it warns
NO_FILES = {"empty": b"", "text": b"not a pickle", "zip": b"PK\x03\x04 a zip that is none", "list": pickle.dumps([1, 2], protocol=2)}


@pytest.mark.parametrize("content", NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_file_of_torchs_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.bin: ") as caught:
        read_tensors(tmp_path / "model.bin")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_short_or_holds_no_names_is_one_error(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1000)}, tmp_path / "cut.bin")
    (tmp_path / "cut.bin").write_bytes((tmp_path / "cut.bin").read_bytes()[:2000])
    torch.save(torch.zeros(3), tmp_path / "bare.bin")
    with pytest.raises(WeightsError, match=r"cut\.bin: "):
        read_tensors(tmp_path / "cut.bin")
    with pytest.raises(WeightsError, match=r"bare\.bin: must hold tensors by name, got a Tensor"):
        read_tensors(tmp_path / "bare.bin")
    with pytest.raises(MissingFileError, match=r"none\.bin: not found"):
        read_tensors(tmp_path / "none.bin")


def test_without_torch_the_extra_is_named(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"is pickled, and torch reads such files; install the extra: pip install 'sdrt\[torch\]'"):
        open_model(pickled, pickled="weights_only").tensors("unet")

"""Weights without a memory map: the same numbers, and a file that is cut short meanwhile is an error, not the end of the process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import sdrt
from sdrt.errors import WeightsError
from sdrt.models import StoredModel, open_component, open_model
from sdrt.models.component_tensors import ComponentTensors

UNET = "unet/diffusion_pytorch_model.safetensors"


def cut(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)


def every_tensor(model: StoredModel) -> dict[str, np.ndarray]:
    return {f"{part}/{name}": array for part in model.components for name, array in model.tensors(part).items()}


@pytest.mark.parametrize("kind", ["folder", "checkpoint"])
def test_the_numbers_are_the_same(kind: str, request: pytest.FixtureRequest) -> None:
    place: Path = request.getfixturevalue(kind)
    mapped, read = every_tensor(open_model(place)), every_tensor(open_model(place, mmap=False))
    assert mapped.keys() == read.keys()
    assert all((mapped[name] == read[name]).all() and mapped[name].dtype == read[name].dtype for name in mapped)


def test_a_pickle_is_read_too(checkpoint: Path, tmp_path: Path) -> None:
    torch.save(load_file(checkpoint), tmp_path / "model.ckpt")
    found = open_model(tmp_path / "model.ckpt", pickled="weights_only", mmap=False).tensors("unet")
    assert (found["conv_in.weight"] == open_model(checkpoint).tensors("unet")["conv_in.weight"]).all()


def test_a_file_that_is_cut_short_meanwhile_is_one_error(folder: Path) -> None:
    weights = open_model(folder, mmap=False).tensors("unet")
    cut(folder / UNET)
    with pytest.raises(WeightsError, match=r"safetensors: was cut short while in use"):
        [weights[name] for name in weights]
    # what is asked of names alone reads nothing
    assert all(name in weights for name in weights)


def test_releasing_reads_nothing(folder: Path) -> None:
    weights = ComponentTensors([folder / UNET], memory_map=False)
    cut(folder / UNET)
    weights.release()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not cut a file that is mapped")
def test_without_the_option_the_process_ends(folder: Path) -> None:
    """What the option is for; if this ever passes quietly, the option has no reason."""
    code = f"""
from pathlib import Path
from sdrt.models import open_model
weights = open_model(Path({str(folder)!r})).tensors("unet")
file = Path({str(folder / UNET)!r})
with file.open("r+b") as stream:
    stream.truncate(5000)
print(sum(float(weights[name].sum()) for name in weights))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode < 0


def test_load_takes_the_option_for_every_part(folder: Path) -> None:
    with sdrt.load(folder, mmap=False, vae=folder / "vae", threads=1) as pipe:
        assert not pipe.model.mmap
        picture = np.asarray(pipe.generate("a cat", seed=1, num_inference_steps=1, height=64, width=64).images[0])
    with sdrt.load(folder, vae=folder / "vae", threads=1) as pipe:
        assert (picture == np.asarray(pipe.generate("a cat", seed=1, num_inference_steps=1, height=64, width=64).images[0])).all()
    assert not open_component(folder / "vae", "vae_decoder", mmap=False).mmap

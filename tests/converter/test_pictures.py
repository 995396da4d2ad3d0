"""The embedded model, converted and run here: every form of package draws the picture of the numpy backend."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from converter.compression import LinearQuantization, Palettization
from converter.conversion import convert
from converter.options import Attention, ConvertOptions
from sdrt.arrays import Array
from sdrt.models.coreml.names import RESOURCES, Role, file_stem
from tests.backends.coreml.mil_text_writer import write_compiled
from tests.pictures import psnr

PARTS: tuple[Role, ...] = ("unet", "text_encoder", "vae_decoder")


def draw(model: str | Path, backend: str = "coreml", prompt: str = "a red circle on a blue background", **options: Any) -> Array:
    with sdrt.load(model, backend, **options) as pipe:
        return np.asarray(pipe.generate(prompt, seed=93, num_inference_steps=5).images[0])


@pytest.fixture(scope="module")
def wanted() -> Array:
    return draw("nano", "numpy")


def converted(folder: Path, **options: Any) -> Path:
    """Without comparing to the source: other tests do that."""
    convert(ConvertOptions(**{"model": "nano", "out": folder, "parts": PARTS, "check": False, **options}))
    return folder


def compiled(folder: Path, resources: Path) -> Path:
    """The same packages as a Mac's compiler leaves them in the Resources folder of Swift's package, with the files beside them."""
    for part in PARTS:
        package = folder / f"{file_stem(part, 'nano')}.mlpackage"
        write_compiled(package, resources / f"{RESOURCES[part][0]}.mlmodelc", bare=False)
    for name in ("vocab.json", "merges.txt", "scheduler_config.json", "sdrt.json"):
        shutil.copy(folder / name, resources)
    return resources


def test_another_prompt_is_another_picture(wanted: Array) -> None:
    assert psnr(draw("nano", "numpy", "a green heart on a white background"), wanted) < 20


def test_float32_packages_and_compiled_ones(tmp_path: Path, wanted: Array) -> None:
    folder = converted(tmp_path, precision="float32", float32_weights=True, attention=Attention.ORIGINAL)
    found = draw(folder)
    assert psnr(found, wanted) > 60
    assert np.array_equal(draw(compiled(folder, tmp_path / "Resources")), found)


def test_float16_packages_whole_and_in_two_halves(tmp_path: Path, wanted: Array) -> None:
    """In the arithmetic that hardware rounds; existing halves are preferred to the whole."""
    folder = converted(tmp_path, chunk=True)
    halves = draw(folder, precision="float16")
    assert psnr(halves, wanted) > 40
    for half in folder.glob("*_chunk?.mlpackage"):
        shutil.rmtree(half)
    assert np.array_equal(draw(folder, precision="float16"), halves)


@pytest.mark.slow
@pytest.mark.parametrize("attention", Attention)
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_every_attention_in_both_precisions(tmp_path: Path, wanted: Array, attention: Attention, precision: str) -> None:
    folder = converted(tmp_path, precision=precision, float32_weights=precision == "float32", attention=attention)
    assert psnr(draw(folder, precision=precision), wanted) > (60 if precision == "float32" else 40)


@pytest.mark.slow
@pytest.mark.parametrize("compression", [Palettization(nbits=8), Palettization(nbits=6), LinearQuantization(nbits=8)], ids=repr)
def test_compressed_packages(tmp_path: Path, wanted: Array, compression: Any) -> None:
    """Compression affects the weights only; these are trained, and stay close at this number of bits."""
    folder = converted(tmp_path, compression=compression)
    assert psnr(draw(folder, precision="float16"), wanted) > 35

"""Upscalers on numpy and torch beside the papers' networks: each spelling of the names, each scale, each promise of precision."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from sdrt.arrays import Array, Numerics
from sdrt.backends import BackendOptions, registry
from sdrt.errors import ConfigError
from sdrt.models import open_upscaler
from tests.backends.numpy.reference import relative_error
from tests.upscalers import compact, compact_tensors, rrdb, rrdb_tensors, save_upscaler, to_old_names, to_second_names

Tensors = Mapping[str, torch.Tensor]

# Of the largest value. What is measured is 6e-7 (1e-6 where a dense block runs by Winograd's way) and 2e-15.
BOUNDS: Mapping[Numerics, float] = {"float32": 1e-5, "exact": 1e-5, "float64": 1e-12}

RRDB: Mapping[str, dict[str, int]] = {
    "x1": {"upsamplings": 2, "unshuffle": 4},
    "x2": {"upsamplings": 2, "unshuffle": 2},
    "x4": {"upsamplings": 2},
    "x1 without unshuffle": {"upsamplings": 0},
    "x2 with one upsampling": {"upsamplings": 1},
    "x8": {"upsamplings": 3},
    "of other widths": {"width": 20, "growth": 12, "blocks": 1, "upsamplings": 1},
}
SPELLINGS: Mapping[str, Callable[[Tensors], Tensors]] = {"first": to_old_names, "second": to_second_names, "new": dict}


def _image(height: int = 13, width: int = 18, n: int = 2) -> Array:
    return np.random.default_rng(7).random((n, 3, height, width))


def _run(file: Path, image: Array, backend: str, numerics: Numerics = "float32", **options: object) -> Array:
    network = registry.get(backend).open("upscaler", open_upscaler(file), BackendOptions(numerics=numerics, **options))  # type: ignore[arg-type]
    return network(image=image.astype("float64" if numerics == "float64" else "float32"))["upscaled"]


@pytest.mark.parametrize(
    ("backend", "numerics"), [("numpy", "float32"), ("numpy", "float64"), ("numpy", "exact"), ("torch", "float32"), ("torch", "float64")]
)
@pytest.mark.parametrize("form", RRDB)
def test_rrdb_is_the_papers(form: str, backend: str, numerics: Numerics, tmp_path: Path) -> None:
    tensors = rrdb_tensors(**RRDB[form])
    found = _run(save_upscaler(tmp_path / "a.safetensors", tensors), _image(), backend, numerics)
    assert relative_error(found, rrdb(tensors, _image())) < BOUNDS[numerics]


# From spandrel 0.4.2 (ModelLoader, in float64) on torch 2.13: `image`, and of each network what it made of it. Both are float32. spandrel
# takes only dense blocks that grow by 32 channels.
VECTORS = np.load(Path(__file__).parent / "spandrel_upscalers.npz")
SMALL = {"width": 8, "growth": 32, "blocks": 1}
OF_VECTORS: Mapping[str, Callable[[], Tensors]] = {
    "rrdb_x4": lambda: to_old_names(rrdb_tensors(**SMALL)),
    "rrdb_x1": lambda: rrdb_tensors(**SMALL, unshuffle=4),
    "compact_x4": lambda: compact_tensors(width=8, convs=2),
}


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("form", OF_VECTORS)
def test_networks_are_spandrels(form: str, backend: str, tmp_path: Path) -> None:
    found = _run(save_upscaler(tmp_path / "a.safetensors", OF_VECTORS[form]()), VECTORS["image"], backend, "float64")
    # the rounding of the vectors to float32
    assert relative_error(found, VECTORS[form].astype(np.float64)) < 2e-7


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("form", ["x4", "x2", "x8", "x1 without unshuffle"])
def test_every_spelling_of_the_names_is_the_same_network(form: str, spelling: str, tmp_path: Path) -> None:
    tensors = rrdb_tensors(**RRDB[form])
    found = _run(save_upscaler(tmp_path / "a.safetensors", SPELLINGS[spelling](tensors)), _image(), "numpy", "float64")
    assert relative_error(found, rrdb(tensors, _image())) < BOUNDS["float64"]


@pytest.mark.parametrize(("height", "width"), [(24, 24), (30, 41), (27, 26)])
@pytest.mark.parametrize("n", [1, 2])
def test_wide_networks_by_winograds_way(height: int, width: int, n: int, tmp_path: Path) -> None:
    """From 24 channels on, and from 36 tiles of four pixels; sides that are no whole tiles end in frames of zeros."""
    image = _image(height, width, n)
    for tensors, wanted in (
        ((dense := rrdb_tensors(width=32, growth=24, blocks=1, upsamplings=1)), rrdb(dense, image)),
        ((small := compact_tensors(width=28, convs=2, scale=2)), compact(small, image)),
    ):
        assert relative_error(_run(save_upscaler(tmp_path / "a.safetensors", tensors), image, "numpy"), wanted) < BOUNDS["float32"]
        assert relative_error(_run(tmp_path / "a.safetensors", image, "numpy", threads=3), wanted) < BOUNDS["float32"]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("numerics", ["float32", "float64"])
@pytest.mark.parametrize("form", [{}, {"scale": 1}, {"scale": 2, "convs": 1}, {"scale": 3, "convs": 0, "width": 24}], ids=str)
def test_the_compact_form_is_basicsrs(form: dict[str, int], backend: str, numerics: Numerics, tmp_path: Path) -> None:
    tensors = compact_tensors(**form)  # type: ignore[arg-type]
    found = _run(save_upscaler(tmp_path / "a.safetensors", tensors), _image(), backend, numerics)
    assert relative_error(found, compact(tensors, _image())) < BOUNDS[numerics]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("activation", "slope"), [("relu", 0.0), ("leakyrelu", 0.1)])
def test_activations_without_weights(activation: str, slope: float, backend: str, tmp_path: Path) -> None:
    tensors = compact_tensors(activation=activation)
    model = open_upscaler(save_upscaler(tmp_path / "a.safetensors", tensors), activation=activation)  # type: ignore[arg-type]
    found = registry.get(backend).open("upscaler", model, BackendOptions())(image=_image().astype(np.float32))["upscaled"]
    assert relative_error(found, compact(tensors, _image(), slope)) < BOUNDS["float32"]


def test_every_tensor_moves_the_picture(tmp_path: Path) -> None:
    """A tensor that is read and forgotten would pass all of the above if it were zero."""
    tensors = rrdb_tensors(blocks=1, unshuffle=2)
    image = _image()
    wanted = _run(save_upscaler(tmp_path / "a.safetensors", tensors), image, "numpy")
    for name in tensors:
        changed = {**tensors, name: tensors[name] + 0.5}
        found = _run(save_upscaler(tmp_path / "b.safetensors", changed), image, "numpy")
        assert relative_error(found, wanted) > 1e-4, name


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (2, 3), (5, 4), (16, 16), (21, 40)])
def test_sides_of_every_remainder(height: int, width: int, backend: str, tmp_path: Path) -> None:
    """Winograd's tiles are of four pixels, and an unshuffle needs whole squares; what is too short to be mirrored is continued."""
    tensors = rrdb_tensors(unshuffle=4)
    found = _run(save_upscaler(tmp_path / "a.safetensors", tensors), _image(height, width, 1), backend)
    assert found.shape == (1, 3, height, width)
    if min(height, width) > 3:  # torch's own padding takes no more than a side
        assert relative_error(found, rrdb(tensors, _image(height, width, 1))) < BOUNDS["float32"]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_low_memory_moves_rounding_only(backend: str, tmp_path: Path) -> None:
    file = save_upscaler(tmp_path / "a.safetensors")
    assert relative_error(_run(file, _image(), backend, low_memory=True), _run(file, _image(), backend)) < BOUNDS["float32"]


def test_exact_bytes_do_not_depend_on_threads_memory_or_the_batch(tmp_path: Path) -> None:
    file, image = save_upscaler(tmp_path / "a.safetensors"), _image(24, 24, 2)
    wanted = _run(file, image, "numpy", "exact", threads=1)
    for options in ({"threads": 3}, {"threads": 1, "low_memory": True}):
        assert np.array_equal(_run(file, image, "numpy", "exact", **options), wanted)
    assert np.array_equal(_run(file, image[1:], "numpy", "exact"), wanted[1:])


def test_exact_numerics_are_numpys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^numerics='exact' must run on a backend that has it, got backend 'torch'"):
        _run(save_upscaler(tmp_path / "a.safetensors"), _image(), "torch", "exact")

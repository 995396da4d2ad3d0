"""Compression: coremltools' own decompression, the executor's outputs, and k-means compared with the exact method."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coremltools._deps import kmeans1d
from coremltools.optimize import coreml as cto
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.compression import Compression, LinearQuantization, Palettization, Pruning, compress
from converter.compression.clustering import cluster, palettized_values
from converter.compression.weights import find_weights
from converter.verification.figures import psnr
from sdrt.backends.coreml import describe
from sdrt.backends.coreml.constants import Constants, KeptArrays
from sdrt.errors import ConfigError
from sdrt.models.mlpackage.package import open_package
from tests.backends.coreml.peer import ct
from tests.converter.small import annotated, opened, outputs, saved, small_package

# Coremltools leaves temporary folders that are removed with its objects.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FEW = 500
# first, down, q, k, v, middle and last: all weights of products; not the embedding's 2,400 numbers.
WEIGHTS = 7


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_package(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def package18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_package(tmp_path_factory.mktemp("small18"), target="iOS18")


def _decompressed(path: Path) -> dict[str, Any]:
    """Return the weights that coremltools itself decompresses, by name."""
    plain = cto.decompress_weights(opened(path))
    weights, numbers = find_weights(saved(plain, path.with_name("plain.mlpackage")), FEW)
    return {weight.name: numbers[weight.name] for weight in weights}


def _constants(path: Path) -> dict[str, Any]:
    """Return the executor's value of each compressed weight, by name."""
    found = open_package(path)
    assert found.model.program is not None
    block = found.model.program.functions["main"].block
    constants = Constants("main", block, found.blobs, KeptArrays(None))
    return {item.name: constants.get(item.name) for item in block.operations if item.type.startswith("constexpr_")}


def test_weights_are_what_is_multiplied_and_not_what_is_looked_up(package: Path) -> None:
    weights, numbers = find_weights(package, FEW)
    assert [weight.shape for weight in weights] == [
        *((24, 4, 3, 3), (48, 24, 3, 3), (48, 48), (48, 24), (48, 24), (48, 48, 3, 3), (4, 72, 3, 3)),
    ]
    assert all(numbers[weight.name].shape == weight.shape and len(weight.digest) == 64 for weight in weights)
    assert len({weight.digest for weight in weights}) == WEIGHTS
    assert [weight.count for weight in find_weights(package, 2304)[0]] == [10368, 2304, 20736, 2592]
    assert describe(package).functions[0].operations["gather"] == 1


@pytest.mark.parametrize(
    ("compression", "kind"),
    [
        (Palettization(nbits=1, min_elements=FEW), "palettized 1 bit"),
        (Palettization(nbits=4, min_elements=FEW), "palettized 4 bit"),
        (Palettization(nbits=8, min_elements=FEW), "palettized 8 bit"),
        (LinearQuantization(min_elements=FEW), "quantized int8"),
        (Pruning(sparsity=0.5, min_elements=FEW), "sparse"),
    ],
)
def test_every_weight_is_stored_as_asked_and_read_as_coremltools_reads_it(
    package: Path, tmp_path: Path, compression: Compression, kind: str
) -> None:
    small = saved(compress(opened(package), compression), tmp_path / "small.mlpackage")
    assert dict(describe(small).functions[0].compression) == {kind: WEIGHTS}
    theirs = sorted(_decompressed(small).values(), key=lambda value: value.shape)
    ours = sorted(_constants(small).values(), key=lambda value: value.shape)
    # k and v have the same shape; among equals the order is the program's in both.
    for mine, other in zip(ours, theirs, strict=True):
        # There, int8 times a scale is computed in float16: half a unit in its last place, relative to the largest.
        np.testing.assert_allclose(mine, other.astype(np.float32), rtol=0, atol=0 if "quantized" not in kind else 2**-11)
    assert psnr(outputs(small), outputs(package)) > 3


def test_more_bits_are_closer(package: Path, tmp_path: Path) -> None:
    whole = outputs(package)
    found = [
        psnr(outputs(saved(compress(opened(package), Palettization(nbits=bits, min_elements=FEW)), tmp_path / f"{bits}.mlpackage")), whole)
        for bits in (1, 2, 4, 6, 8)
    ]
    assert found == sorted(found)
    # Each bit halves the error, 6 dB; k-means of normal numbers reaches 4.4 dB with one bit and 34 dB with six (Max 1960).
    assert found[0] > 5
    assert found[3] > 30
    assert found[4] > 42


@pytest.mark.parametrize(
    ("compression", "kind"),
    [
        (Palettization(nbits=3, min_elements=FEW), {"palettized 3 bit": WEIGHTS}),
        (LinearQuantization(nbits=4, block_size=16, min_elements=FEW), {"quantized int4": WEIGHTS}),
        (LinearQuantization(nbits=4, block_size=1, min_elements=FEW), {"quantized int4": WEIGHTS}),
    ],
)
def test_what_needs_a_newer_system_is_made_for_one_and_refused_for_an_older(
    package: Path, package18: Path, tmp_path: Path, compression: Compression, kind: dict[str, int]
) -> None:
    with pytest.raises(
        ConfigError,
        match=r"must have a deployment target of iOS 18 or macOS 15 .*, got specification 7; convert with --min-deployment-target",
    ):
        compress(opened(package), compression)
    small = saved(compress(opened(package18), compression), tmp_path / "small.mlpackage")
    assert dict(describe(small).functions[0].compression) == kind
    assert psnr(outputs(small), outputs(package18)) > 12


def test_a_block_divides_the_inputs_or_the_weight_gets_eight_bits(package18: Path, tmp_path: Path) -> None:
    """Linear layers of 24 and 48 inputs have blocks of 6 here, for which int8 is as small; a convolution's window has 9 times as many."""
    small = saved(compress(opened(package18), LinearQuantization(nbits=4, block_size=7, min_elements=FEW)), tmp_path / "small.mlpackage")
    assert dict(describe(small).functions[0].compression) == {"quantized int4": 4, "quantized int8": 3}


def test_metadata_and_descriptions_survive(package: Path, tmp_path: Path) -> None:
    model = annotated(package)
    for compression in (Palettization(nbits=6), LinearQuantization(), Pruning(sparsity=0.3)):
        found = opened(saved(compress(model, compression), tmp_path / "small.mlpackage"))
        assert (found.author, found.license, found.version, found.short_description) == ("Ada", "OpenRAIL", "1.4", "A network")
        assert found.input_description["sample"] == "Noisy latents"
        assert found.output_description["noise_pred"] == "The noise in them"
        assert found.user_defined_metadata["com.example.key"] == "value"
        assert found.get_spec().description.input == model.get_spec().description.input


def test_small_weights_stay_and_a_model_of_small_ones_is_given_back(package: Path, tmp_path: Path) -> None:
    small = saved(compress(opened(package), Palettization(nbits=4)), tmp_path / "small.mlpackage")
    assert dict(describe(small).functions[0].compression) == {"palettized 4 bit": 4}
    model = opened(package)
    assert compress(model, Palettization(nbits=4, min_elements=10**6)) is model


def test_a_compressed_model_and_a_pipeline_are_refused(package: Path) -> None:
    small = compress(opened(package), Palettization(nbits=4))
    with pytest.raises(ConfigError, match="must be uncompressed, got compressed weights; use the model converted without"):
        compress(small, LinearQuantization())
    model = opened(package)
    pipeline = ct.models.MLModel(ct.utils.make_pipeline(model, model).get_spec(), weights_dir=model.weights_dir, skip_model_load=True)
    with pytest.raises(ConfigError, match="must be a single model, got a pipeline; compress the model before it is chunked"):
        compress(pipeline, LinearQuantization())


def test_progress_names_each_weight(package: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    compress(opened(package), Palettization(nbits=2, min_elements=FEW), progress=lambda *step: seen.append(step))
    assert [step[1:] for step in seen] == [(place, WEIGHTS) for place in range(1, WEIGHTS + 1)]
    assert "first_weight" in seen[0][0]


@pytest.mark.parametrize("nbits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("kind", ["normal", "laplace", "student", "uniform", "two heaps", "whole numbers", "few"])
def test_palettes_are_nearly_as_good_as_exact_ones(kind: str, nbits: int) -> None:
    source = np.random.default_rng(nbits)
    weight = {
        "normal": lambda: source.normal(size=20000) * 0.02,
        "laplace": lambda: source.laplace(size=20000),
        "student": lambda: source.standard_t(3, size=4000),
        "uniform": lambda: source.random(4000),
        "two heaps": lambda: np.concatenate([source.normal(size=500), 50 + source.normal(size=5000)]),
        "whole numbers": lambda: source.integers(0, 300, 4000),
        "few": lambda: source.normal(size=600),
    }[kind]().astype(np.float16)
    values, counts = np.unique(weight, return_counts=True)
    exact = kmeans1d.cluster(values.astype(np.float64), min(len(values), 1 << nbits), weights=counts)
    best = float(np.sum(counts * (np.asarray(exact.centroids)[exact.clusters] - values.astype(np.float64)) ** 2))
    palette, indices = cluster(weight, nbits)
    ours = float(np.sum((palette.astype(np.float64)[indices] - weight.astype(np.float64)) ** 2))
    # A tenth, 0.4 dB, for few or concentrated numbers; networks' weights are closer.
    # The palette is stored in float16, which costs up to half a unit in its last place for every number.
    rounding = weight.size * (float(np.abs(weight).max()) * 2**-11) ** 2
    assert ours <= best * (1.02 if kind in ("normal", "laplace") else 1.1) + rounding


@given(
    numbers=st.lists(st.floats(-60000, 60000, width=16), min_size=1, max_size=60),
    nbits=st.sampled_from([1, 2, 4, 8]),
    dtype=st.sampled_from([np.float16, np.float32]),
)
@settings(max_examples=60, deadline=None)
def test_a_palette_holds_every_number_at_its_nearest_entry(numbers: list[float], nbits: int, dtype: Any) -> None:
    weight = np.array(numbers, dtype=dtype).reshape(-1, 1)
    palette, indices = cluster(weight, nbits)
    assert palette.dtype == dtype
    assert palette.shape == (1 << nbits,)
    used = palette[np.unique(indices)].astype(np.float64)
    got = palettized_values(weight, nbits)
    assert got.shape == weight.shape
    gaps = np.abs(weight.astype(np.float64) - used)
    # Rounding of centres, and of float32 to float16's significant bits, moves borders between groups.
    slack = 2**-9 * np.abs(weight.astype(np.float64)).max() + 1e-6
    assert (np.abs(got.astype(np.float64) - weight.astype(np.float64))[:, 0] <= gaps.min(axis=1) + slack).all()
    if len(set(numbers)) <= 1 << nbits:
        np.testing.assert_allclose(got, weight, rtol=2**-10, atol=slack)


def test_float32_weights_beyond_float16_have_palettes_too() -> None:
    weight = np.array([[1e6, -3e5], [2.0, 1e6]], np.float32)
    np.testing.assert_allclose(palettized_values(weight, 2), weight, rtol=2**-10, atol=1e6 * 2**-20)


@pytest.mark.parametrize(
    "settings_",
    [
        lambda: Palettization(nbits=5),
        lambda: Palettization(nbits=4, min_elements=0),
        lambda: LinearQuantization(nbits=6),
        lambda: LinearQuantization(block_size=0),
        lambda: Pruning(sparsity=1.0),
    ],
)
def test_settings_are_checked_when_they_are_made(settings_: Any) -> None:
    with pytest.raises(ConfigError, match="got"):
        settings_()

"""Mixed bits: measurements, choices, and the results."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converter.compression import MixedBits, Palettization, Recipe, compress, make_recipe
from converter.compression.clustering import palettized_values
from converter.compression.measuring import OutputMeasure
from converter.compression.weights import find_weights, fingerprint, weight_file
from converter.verification.figures import psnr
from sdrt.arrays import Array
from sdrt.backends.coreml import MLProgram
from sdrt.errors import ConfigError, MissingFileError, ModelError
from tests.converter.small import annotated, opened, saved, small_package

# Coremltools leaves temporary folders that are removed with its objects.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FEW = 500


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_package(tmp_path_factory.mktemp("small"))


class _Counting:
    """A measure that counts its calls, and may be interrupted."""

    def __init__(self, path: Path, stop_after: int | None = None) -> None:
        self.inner, self.calls, self.stop_after = OutputMeasure(path), 0, stop_after
        self.key = self.inner.key

    def __call__(self, replaced: Mapping[str, Array]) -> float:
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        return self.inner(replaced)


def _measured(original: Path, small: Path) -> float:
    """Return the PSNR between the outputs of two packages, each run whole."""
    with OutputMeasure(original) as measure:
        given = measure.inputs
    with MLProgram(original) as one, MLProgram(small) as two:
        return psnr(two.predict(given)["noise_pred"], one.predict(given)["noise_pred"])


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_measured_weight_does_what_a_package_with_it_does(package: Path, tmp_path: Path, bits: int) -> None:
    """In the program's order, which reuses earlier values, and against it, which starts again."""
    weights, numbers = find_weights(package, FEW)
    with OutputMeasure(package) as measure:
        forward = [measure({weight.name: palettized_values(numbers[weight.name], bits)}) for weight in weights]
        backward = [measure({weight.name: palettized_values(numbers[weight.name], bits)}) for weight in reversed(weights)]
        together = measure({weight.name: palettized_values(numbers[weight.name], bits) for weight in weights})
        assert measure({}) > 150
    assert forward == backward[::-1]
    assert len(set(forward)) == len(weights)
    assert together < min(forward)
    small = saved(compress(opened(package), Palettization(nbits=bits, min_elements=FEW)), tmp_path / "small.mlpackage")
    # The same values by the same kernels, whose sums may be split differently.
    assert _measured(package, small) == pytest.approx(together, abs=1e-2)


@pytest.mark.parametrize("share", [0.2, 0.3, 0.45])
def test_a_size_is_reached_and_nearly_filled(package: Path, tmp_path: Path, share: float) -> None:
    target = int(weight_file(package).stat().st_size * share)
    model = annotated(package)
    small_model = compress(model, MixedBits(target_bytes=target, min_elements=FEW))
    small = saved(small_model, tmp_path / "small.mlpackage")
    size = weight_file(small).stat().st_size
    # The smallest step between two widths of the smallest weight is below a twentieth.
    assert 0.95 * target < size <= target
    said = json.loads(small_model.user_defined_metadata["sdrt.mixed_bits"])
    assert said["weight_bytes"] - 64 < size <= said["weight_bytes"]
    assert said["psnr"] == pytest.approx(_measured(package, small), abs=0.06)
    assert opened(small).author == "Ada"


def test_mixed_bits_beat_even_ones_of_the_same_size(package: Path, tmp_path: Path) -> None:
    even = saved(compress(opened(package), Palettization(nbits=4, min_elements=FEW)), tmp_path / "even.mlpackage")
    recipe = make_recipe(package, MixedBits(target_bytes=weight_file(even).stat().st_size, min_elements=FEW))
    assert recipe.psnr is not None
    assert recipe.psnr >= _measured(package, even)


@pytest.mark.parametrize("aim", [15.0, 25.0, 35.0])
def test_a_psnr_is_reached_and_not_by_far(package: Path, tmp_path: Path, aim: float) -> None:
    recipe = make_recipe(package, MixedBits(min_psnr=aim, min_elements=FEW))
    assert recipe.psnr is not None
    # One step of one of seven weights changes its own noise by up to two bits, 12 dB; the total changes less.
    assert aim <= recipe.psnr < aim + 6
    small = saved(compress(opened(package), recipe), tmp_path / "small.mlpackage")
    assert _measured(package, small) == pytest.approx(recipe.psnr, abs=1e-2)
    # The end of the file's last record is not padded.
    assert recipe.weight_bytes - 64 < weight_file(small).stat().st_size <= recipe.weight_bytes


def test_an_aim_that_cannot_be_reached_is_an_error_that_says_what_can(package: Path) -> None:
    def never(_: Mapping[str, Array]) -> float:
        raise AssertionError("a size is known before anything is measured")

    with pytest.raises(ConfigError, match=r"target_bytes must be at least ([\d,]+) of .* with 7 weights at 1 bit.* got 1,000") as caught:
        make_recipe(package, MixedBits(target_bytes=1000, min_elements=FEW), measure=never)
    smallest = int(str(caught.value).split("at least ")[1].split(" ")[0].replace(",", ""))
    assert make_recipe(package, MixedBits(target_bytes=smallest, min_elements=FEW)).weight_bytes == smallest
    with pytest.raises(ConfigError, match=r"min_psnr must be at most \d+\.\d dB, its value after the gentlest step of all, got 150"):
        make_recipe(package, MixedBits(min_psnr=150, min_elements=FEW))


def test_a_run_that_was_interrupted_goes_on_where_it_ended(package: Path, tmp_path: Path) -> None:
    file, aim = tmp_path / "kept" / "measurements.json", MixedBits(target_bytes=40_000, min_elements=FEW)
    with pytest.raises(KeyboardInterrupt):
        make_recipe(package, aim, measure=_Counting(package, stop_after=13), measurements=file)
    assert [path.name for path in file.parent.iterdir()] == ["measurements.json"]
    second = _Counting(package)
    recipe = make_recipe(package, aim, measure=second, measurements=file)
    # Seven weights at five widths, and the choice itself.
    assert second.calls == 7 * 5 + 1 - 13
    third = _Counting(package)
    assert make_recipe(package, aim, measure=third, measurements=file) == recipe
    assert third.calls == 0
    assert make_recipe(package, aim) == recipe


def test_measurements_of_another_model_or_inputs_are_not_used(package: Path, tmp_path: Path) -> None:
    file, aim = tmp_path / "measurements.json", MixedBits(target_bytes=40_000, min_elements=FEW)
    make_recipe(package, aim, measurements=file)
    changed = saved(annotated(package), tmp_path / "changed.mlpackage")
    assert fingerprint(changed) == fingerprint(package)
    file_of = weight_file(changed)
    numbers = bytearray(file_of.read_bytes())
    numbers[-600] ^= 0x10
    file_of.write_bytes(numbers)
    assert fingerprint(changed) != fingerprint(package)
    counting = _Counting(changed)
    make_recipe(changed, aim, measure=counting, measurements=file)
    assert counting.calls == 36
    other = _Counting(package)
    other.key = "other inputs"
    make_recipe(package, aim, measure=other, measurements=file)
    assert other.calls == 36
    assert len(json.loads(file.read_text())["models"]) == 3


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"format": 2, "models": {}}', '{"format": 1, "models": {"a": {"b": "c"}}}', '{"format": 1, "models": {"a": {"b": NaN}}}'],
)
def test_a_file_of_something_else_is_refused_and_left_alone(package: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "measurements.json"
    file.write_text(text)
    with pytest.raises(ModelError, match="must hold measurements, got something else"):
        make_recipe(package, MixedBits(target_bytes=40_000, min_elements=FEW), measurements=file)
    assert file.read_text() == text


def test_a_recipe_is_saved_read_and_applied_to_its_own_model_only(package: Path, tmp_path: Path) -> None:
    recipe = make_recipe(package, MixedBits(target_bytes=40_000, min_elements=FEW))
    recipe.save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json") == recipe
    first = recipe.entries[0]
    # Another weight of the same name, shape and size, with another digest.
    stranger = replace(recipe, entries=(replace(first, digest="0" * 64), *recipe.entries[1:]))
    with pytest.raises(ConfigError, match=r"must belong to this model, got one with 1 of 7 weights of another, '.*first_weight"):
        compress(opened(package), stranger)
    with pytest.raises(ConfigError, match="1, 2, 4, 6, 8 or 16, got 5"):
        replace(first, bits=5)
    with pytest.raises(MissingFileError, match="must be a saved recipe"):
        Recipe.load(tmp_path / "none.json")
    (tmp_path / "recipe.json").write_text('{"format": 1, "entries": [{"name": "x"}]}')
    with pytest.raises(ModelError, match="must be a recipe, got one that cannot be read"):
        Recipe.load(tmp_path / "recipe.json")


def test_float32_packages_are_mixed_too(tmp_path: Path) -> None:
    whole = small_package(tmp_path, precision="float32")
    recipe = make_recipe(whole, MixedBits(target_bytes=60_000, min_elements=FEW))
    small = saved(compress(opened(whole), recipe), tmp_path / "small.mlpackage")
    assert recipe.weight_bytes - 64 < weight_file(small).stat().st_size <= recipe.weight_bytes <= 60_000
    assert recipe.psnr is not None
    assert np.isfinite(recipe.psnr)

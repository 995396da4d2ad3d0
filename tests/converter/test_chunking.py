"""Halves compared with the whole: equal numbers in the executor, and all metadata kept."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.chunking import chunk
from converter.compression import Compression, LinearQuantization, Palettization, compress
from sdrt.arrays import Array
from sdrt.backends.coreml import MLProgram, describe
from sdrt.errors import ConfigError, MissingFileError, ModelError
from tests.backends.coreml.peer import ct, mb
from tests.converter.small import annotated, inputs, opened, outputs, saved, small_package

# Coremltools leaves temporary folders that are removed with its objects.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FORMS: dict[str, tuple[str, Compression | None]] = {
    "plain": ("iOS16", None),
    "6 bits": ("iOS16", Palettization(nbits=6, min_elements=500)),
    "int8": ("iOS16", LinearQuantization(min_elements=500)),
    "int4 blocks": ("iOS18", LinearQuantization(nbits=4, block_size=12, min_elements=500)),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(form: str) -> Path:
        if form not in made:
            target, compression = FORMS[form]
            model = annotated(small_package(tmp_path_factory.mktemp("whole"), target=target))
            made[form] = saved(
                model if compression is None else compress(model, compression), tmp_path_factory.mktemp("form") / "X.mlpackage"
            )
        return made[form]

    return make


def _through(first: Path, second: Path, precision: Any) -> Array:
    """Run the second half on the result of the first."""
    given: dict[str, Array] = inputs()
    with MLProgram(first, precision) as one, MLProgram(second, precision) as two:
        given |= one.predict({item.name: given[item.name] for item in one.inputs})
        found: Array = two.predict({item.name: given[item.name] for item in two.inputs})["noise_pred"]
    return found


@pytest.mark.parametrize("form", FORMS)
def test_halves_and_the_merged_model_equal_the_whole(package: Callable[[str], Path], form: str) -> None:
    whole = package(form)
    first, second = chunk(whole, merge=False)
    (merged,) = chunk(whole, merge=True)
    assert [path.name for path in (first, second, merged)] == ["X_chunk1.mlpackage", "X_chunk2.mlpackage", "X_chunked_pipeline.mlpackage"]
    # float16 passes through float32 unchanged.
    exact = outputs(whole, "float16")
    np.testing.assert_array_equal(_through(first, second, "float16"), exact)
    np.testing.assert_array_equal(outputs(merged, "float16"), exact)
    # Operations separated by the boundary are not fused: additions in a different order.
    np.testing.assert_allclose(_through(first, second, "float32"), outputs(whole), rtol=0, atol=1e-5)
    np.testing.assert_allclose(outputs(merged), outputs(whole), rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", ["plain", "int4 blocks"])
def test_halves_share_the_weights_as_they_are_stored(package: Callable[[str], Path], form: str) -> None:
    whole = package(form)
    first, second = chunk(whole, merge=False)
    sizes = [sum(file.stat().st_size for file in path.rglob("weight.bin")) for path in (whole, first, second)]
    assert sizes[1] + sizes[2] == pytest.approx(sizes[0], abs=192)  # a second header, and padding at each end
    # The largest single weight, 42% of all, cannot be split.
    assert max(sizes[1:]) < 0.75 * sizes[0]
    counts = [sum(describe(path).functions[0].compression.values()) for path in (whole, first, second)]
    assert counts[1] + counts[2] == counts[0]


def test_what_passes_is_float32_and_inputs_stand_where_they_are_read(package: Callable[[str], Path]) -> None:
    first, second = chunk(package("plain"), merge=False)
    outputs_, taken = describe(first).outputs, {item.name: item for item in describe(second).inputs}
    assert outputs_
    assert {item.name for item in outputs_} <= taken.keys()
    assert all(item.dtype == "float32" and taken[item.name].shape == item.shape for item in outputs_)
    assert {item.name for item in describe(first).inputs} <= {"sample", "input_ids"}
    assert [item.name for item in describe(second).outputs] == ["noise_pred"]


@pytest.mark.parametrize("merge", [False, True])
def test_metadata_and_descriptions_are_kept(package: Callable[[str], Path], merge: bool) -> None:
    whole = package("6 bits")
    for path in chunk(whole, merge=merge):
        said = opened(path).get_spec().description
        assert said.metadata == opened(whole).get_spec().description.metadata
        assert said.metadata.author == "Ada"
        texts = {item.name: item.shortDescription for item in (*said.input, *said.output)}
        known = {"sample": "Noisy latents", "input_ids": "", "noise_pred": "The noise in them"}
        assert texts == {name: known.get(name, "Passed from the first half of the model to the second") for name in texts}


def test_halves_that_no_phone_loads_are_cut_and_remarked_on(
    package: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chunk(package("plain"), merge=False)
    assert not caplog.messages
    monkeypatch.setattr("converter.chunking.LARGEST_ON_PHONES", 50_000)
    assert all(half.exists() for half in chunk(package("plain"), merge=False))
    (remark,) = caplog.messages
    assert re.match(
        r"X.mlpackage: the halves take [\d,]+ and [\d,]+ bytes; iPhones load no model of more than about 50,000: compress", remark
    )


def test_what_was_there_is_replaced_and_no_trace_is_left(package: Callable[[str], Path], tmp_path: Path) -> None:
    whole = saved(opened(package("plain")), tmp_path / "Y.mlpackage")
    stale = tmp_path / "Y_chunk1.mlpackage"
    stale.mkdir()
    (stale / "old").write_text("old")
    first, second = chunk(whole, merge=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Y.mlpackage", "Y_chunk1.mlpackage", "Y_chunk2.mlpackage"]
    assert not (stale / "old").exists()
    np.testing.assert_array_equal(_through(first, second, "float16"), outputs(whole, "float16"))


def test_what_cannot_be_cut_is_refused(package: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"must be an .mlpackage folder, got none"):
        chunk(tmp_path / "none.mlpackage", merge=False)
    first, _ = chunk(package("plain"), merge=False)
    (merged,) = chunk(package("plain"), merge=True)
    for path in (first, merged):
        with pytest.raises(ConfigError, match="got one that is already chunked; pass the whole model"):
            chunk(path, merge=False)
    with pytest.raises(ConfigError, match=r"must be an ML Program, got a pipeline"):
        chunk(merged.rename(merged.with_name("renamed.mlpackage")), merge=False)
    broken = saved(opened(package("plain")), tmp_path / "broken.mlpackage")
    weights = next(broken.rglob("weight.bin"))
    for length in (-8, -8, 30_000):
        weights.write_bytes(weights.read_bytes()[:length])
        with pytest.raises(ModelError, match="a weight must be at offset"):
            chunk(broken, merge=False)


def test_a_weight_that_both_halves_need_is_in_both_and_counts_twice(tmp_path: Path) -> None:
    source = np.random.default_rng(5)
    shared, own = (source.standard_normal((64, 64), np.float32) for _ in range(2))

    def program(x: Any) -> Any:
        twice = mb.const(val=shared, name="shared")
        x = mb.tanh(x=mb.linear(x=x, weight=twice))
        x = mb.tanh(x=mb.linear(x=x, weight=own))
        return mb.linear(x=x, weight=twice, name="out")

    made = mb.program(input_specs=[mb.TensorSpec(shape=(1, 64))], opset_version=ct.target.iOS16)(program)
    model = ct.convert(made, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32, skip_model_load=True)
    first, second = chunk(saved(model, tmp_path / "X.mlpackage"), merge=False)
    sizes = [next(path.rglob("weight.bin")).stat().st_size for path in (first, second)]
    assert sorted(round(size / 64**2 / 4) for size in sizes) == [1, 2]


def test_a_model_of_several_sizes_is_refused(tmp_path: Path) -> None:
    shapes = {"sample": ct.EnumeratedShapes(shapes=[(1, 4, 8, 8), (1, 4, 8, 16)], default=(1, 4, 8, 8))}
    whole = small_package(tmp_path, target="iOS17", shapes=shapes)
    with pytest.raises(ConfigError, match=r"sample must have one shape, got several.* convert each size separately to chunk it"):
        chunk(whole, merge=False)

"""Properties of every stream, and the errors of the table."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdrt.rng
from sdrt.errors import ConfigError
from sdrt.rng.mt19937 import Mt19937

every_stream = pytest.mark.parametrize("name", sdrt.rng.names())


@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(0, 300), min_size=1, max_size=5))
def test_numpy_is_the_legacy_randn(seed: int, counts: list[int]) -> None:
    state, ours = np.random.RandomState(seed), sdrt.rng.stream("numpy", seed)
    for count in counts:
        np.testing.assert_array_equal(ours.normal(count), state.randn(count).astype(np.float32))


@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(0, 300), min_size=1, max_size=5))
def test_numpy_in_other_precisions_is_randn_rounded_once(seed: int, counts: list[int]) -> None:
    state, wide, half = np.random.RandomState(seed), sdrt.rng.stream("numpy", seed), sdrt.rng.stream("numpy", seed)
    for count in counts:
        expected = state.randn(count)
        np.testing.assert_array_equal(wide.normal(count, "float64"), expected, strict=True)
        np.testing.assert_array_equal(half.normal(count, np.float16), expected.astype(np.float16), strict=True)


def test_numpy_gives_the_published_numbers() -> None:
    """Seed 12345, values 9996 to 10000: the last case of ml-stable-diffusion's RandomSourceTests.swift, to eight decimals."""
    last = sdrt.rng.stream("numpy", 12345).normal(10_000, "float64")[-5:]
    np.testing.assert_allclose(last, [-0.86285345, 2.15229409, -0.00670556, -1.21472309, 0.65498866], rtol=0, atol=5.1e-9)


@given(seed=st.integers(0, 2**128 - 1), counts=st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=5))
def test_generator_is_default_rng(seed: int, counts: list[tuple[int, bool]]) -> None:
    """default_rng's bit generator is PCG64 in every numpy so far."""
    peer, ours = np.random.default_rng(seed), sdrt.rng.stream("generator", seed)
    for count, wide in counts:
        expected = peer.standard_normal(count) if wide else peer.standard_normal(count, dtype=np.float32)
        np.testing.assert_array_equal(ours.normal(count, "float64" if wide else "float32"), expected, strict=True)


@pytest.mark.parametrize("seed", [-1, 2**128])
def test_generator_refuses_other_seeds(seed: int) -> None:
    with pytest.raises(ConfigError, match="a seed of the 'generator' stream must be a whole number from 0 to "):
        sdrt.rng.stream("generator", seed)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_numpy_refuses_seeds_that_numpy_refuses(seed: int) -> None:
    with pytest.raises(ConfigError, match="a seed of the 'numpy' stream must be a whole number from 0 to 4294967295, got"):
        sdrt.rng.stream("numpy", seed)


@every_stream
def test_a_stream_is_a_cursor_of_its_own(name: str) -> None:
    """Two streams of one seed affect neither each other nor numpy's global generator."""
    np.random.seed(5)
    expected = np.random.RandomState(5).rand()
    first, second = sdrt.rng.stream(name, 8), sdrt.rng.stream(name, 8)
    drawn = [first.normal((3, 7)) for _ in range(3)]
    for noise in drawn:
        np.testing.assert_array_equal(second.normal((3, 7)), noise)
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.random.rand() == expected


@every_stream
def test_a_stream_can_be_copied_and_stored_on_its_way(name: str) -> None:
    source = sdrt.rng.stream(name, 4)
    source.normal(5)
    twins = [copy.deepcopy(source), pickle.loads(pickle.dumps(source))]  # noqa: S301
    expected = source.normal((2, 20))
    for twin in twins:
        assert (twin.name, twin.seed) == (name, 4)
        np.testing.assert_array_equal(twin.normal((2, 20)), expected)


@every_stream
def test_deviates_are_standard_normal(name: str) -> None:
    noise = sdrt.rng.stream(name, 1).normal(200_000).astype(np.float64)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert abs((noise**4).mean() - 3) < 0.1


@every_stream
@pytest.mark.parametrize("seed", [np.int64(7), np.uint8(7), True])
def test_any_integer_is_a_seed(name: str, seed: int) -> None:
    np.testing.assert_array_equal(sdrt.rng.stream(name, seed).normal(4), sdrt.rng.stream(name, int(seed)).normal(4))


@pytest.mark.parametrize("seed", [1.0, "1", None])
def test_anything_else_is_not(seed: object) -> None:
    with pytest.raises(ConfigError, match="a seed must be a whole number, got"):
        sdrt.rng.stream("torch", seed)  # type: ignore[arg-type]


def test_an_unknown_stream_names_those_that_are() -> None:
    with pytest.raises(
        ConfigError, match=r"a noise stream must be one of generator, libstdc\+\+, numpy, nv, torch, torch-scalar, got 'cuda'"
    ):
        sdrt.rng.stream("cuda", 0)


def test_options_are_the_streams_own() -> None:
    assert not np.array_equal(sdrt.rng.stream("nv", 1, threads=256).normal(600), sdrt.rng.stream("nv", 1).normal(600))
    with pytest.raises(ConfigError, match="options of the 'nv' stream must be among: threads, got device, width"):
        sdrt.rng.stream("nv", 1, width=3, device="A100", threads=256)
    with pytest.raises(ConfigError, match="options of the 'torch' stream must be among: none, got threads"):
        sdrt.rng.stream("torch", 1, threads=256)


@every_stream
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_each_precision_is_standard_normal_and_has_its_dtype(name: str, dtype: str) -> None:
    noise = sdrt.rng.stream(name, 6).normal((100, 500), dtype)
    assert (noise.dtype, noise.shape) == (np.dtype("float32" if dtype == "bfloat16" else dtype), (100, 500))
    if dtype == "bfloat16":
        assert not (noise.view(np.uint32) & 0xFFFF).any()
    wide = noise.astype(np.float64)
    assert abs(wide.mean()) < 0.02  # four standard deviations of 50,000
    assert abs(wide.std() - 1) < 0.015


@every_stream
@pytest.mark.parametrize("dtype", ["int32", "half a float", None, "complex64", np.longdouble, 3])
def test_another_precision_is_refused(name: str, dtype: object) -> None:
    with pytest.raises(ConfigError, match="dtype of noise must be one of float32, float64, float16, bfloat16, got"):
        sdrt.rng.stream(name, 0).normal(3, dtype)  # type: ignore[call-overload]


@every_stream
def test_a_negative_dimension_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"a shape of noise must be .* of at least 0, .* got \(2, -1\)"):
        sdrt.rng.stream(name, 0).normal((2, -1))


def test_the_engine_gives_the_words_of_the_reference_code() -> None:
    """mt19937ar.c with its default seed 5489: the first word, and the ten-thousandth, which the C++ standard states (26.5.5)."""
    words = Mt19937(5489).words(10_000)
    assert words[0] == 3499211612
    assert words[-1] == 4123659995


@given(counts=st.lists(st.integers(0, 700), max_size=5))
def test_words_do_not_depend_on_how_they_are_asked_for(counts: list[int]) -> None:
    engine = Mt19937(11)
    np.testing.assert_array_equal(np.concatenate([np.empty(0, np.uint32), *map(engine.words, counts)]), Mt19937(11).words(sum(counts)))


@every_stream
def test_a_stream_says_what_it_is(name: str) -> None:
    assert repr(sdrt.rng.stream(name, 93)) == f"<noise stream {name!r}, seed 93>"

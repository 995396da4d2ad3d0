"""Noise streams under exact numerics: the words that they always had, and normals that no function of the platform has touched."""

import copy
import hashlib
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt import rng
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import EXACT, PLATFORM
from sdrt.rng.variation import slerp
from tests.exact.poison import poison

EXACT_STREAMS = ["torch", "torch-scalar", "nv", "numpy", "generator"]
SIZES = st.lists(st.integers(0, 70), min_size=1, max_size=6)

every_stream = pytest.mark.parametrize("name", EXACT_STREAMS)


@every_stream
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), sizes=SIZES)
def test_draws_are_the_platforms_to_a_rounding(name: str, dtype: str, seed: int, sizes: list[int]) -> None:
    """One rounding of the logarithm and one of the sine, of numbers below 10; and every later draw starts at the same word."""
    exact, plain = (rng.stream(name, seed, numerics=numerics) for numerics in ("exact", "float32"))
    bound = {"float32": 1e-6, "float64": 4e-15, "float16": 8e-3, "bfloat16": 7e-2}[dtype]
    for size in sizes:
        np.testing.assert_allclose(exact.normal(size, dtype), plain.normal(size, dtype), rtol=0, atol=bound)


@every_stream
def test_no_function_of_the_platform_is_called(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch)
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        rng.stream(name, 5, numerics="exact").normal((3, 50), dtype)
        rng.stream(name, 5, numerics="exact").normal(7, dtype)
    with pytest.raises(AssertionError, match="was called under exact numerics"):
        rng.stream("torch", 5).normal(7)


def test_the_bits_are_always_these() -> None:
    """One digest of every stream, on every machine."""
    draws = []
    for name in EXACT_STREAMS:
        stream = rng.stream(name, 93, numerics="exact")
        draws += [stream.normal(shape, dtype) for shape in (5, (4, 8, 8), 33) for dtype in ("float32", "float64")]
    draws.append(rng.BrownianTree((3, 2), 0.03, 14.6, seed=5, numerics="exact").normal_between(9.0, 2.0))
    digest = hashlib.sha256(b"".join(draw.tobytes() for draw in draws)).hexdigest()
    assert digest == "e0d578f0f6d1c99972b418181327c9ba801a1591a4adeddff401fce130abfe85"


def test_torchs_own_kernel_needs_no_function() -> None:
    """From 16 values on, the float32 draws of the torch stream are those of every mode, bit for bit."""
    for shape in (16, 100, (4, 64, 64)):
        np.testing.assert_array_equal(rng.stream("torch", 3, numerics="exact").normal(shape), rng.stream("torch", 3).normal(shape))


@every_stream
def test_a_state_knows_its_numerics(name: str) -> None:
    stream = rng.stream(name, 8, numerics="exact")
    stream.normal(5)
    assert stream.state["numerics"] == "exact"
    assert "numerics" not in rng.stream(name, 8).state
    twins = [rng.from_state(stream.state), copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))]  # noqa: S301
    expected = stream.normal(40)
    for twin in twins:
        assert twin.numerics == "exact"
        np.testing.assert_array_equal(twin.normal(40), expected)


def test_a_state_with_unknown_numerics_is_refused() -> None:
    state = rng.stream("nv", 8).state | {"numerics": "float16"}
    with pytest.raises(ConfigError, match="numerics of a state must be 'float32' or 'float64' or 'exact', got 'float16'"):
        rng.from_state(state)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_ziggurat_decides_as_numpys(dtype: str) -> None:
    """Some thousand of 300 000 numbers are compared with the curve; a hundred are from its tail, where a logarithm may round up."""
    exact, plain = (rng.stream("generator", 5, numerics=numerics) for numerics in ("exact", "float32"))
    for size in (7, 300_000, 8, 1):
        ours, theirs = exact.normal(size, dtype), plain.normal(size, dtype)
        assert np.count_nonzero(ours != theirs) <= 5
        np.testing.assert_allclose(ours, theirs, rtol=0, atol={"float32": 5e-7, "float64": 1e-15}[dtype])


@given(st.integers(0, 1000), st.floats(0, 1))
def test_variations_are_the_platforms_to_a_rounding(seed: int, strength: float) -> None:
    low, high = np.random.default_rng(seed).normal(size=(2, 4, 9, 5)).astype(np.float32)
    exact, plain = (slerp(low, high, strength, functions) for functions in (EXACT, PLATFORM))
    np.testing.assert_allclose(exact, plain, rtol=0, atol=2e-5)

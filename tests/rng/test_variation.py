"""Spherical interpolation of noise, and noise of one size inside another."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sdrt.rng.variation import centred, slerp
from tests.factories import normal

shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))


@given(
    shape=shapes,
    seed=st.integers(0, 99),
    strength=st.floats(0, 1, width=32),
    kind=st.sampled_from(["other", "same", "opposite", "nothing"]),
)
def test_an_interpolation_lies_between_its_ends(shape: tuple[int, int, int], seed: int, strength: float, kind: str) -> None:
    low = normal(seed, *shape)
    high = {"other": normal(seed + 100, *shape), "same": low, "opposite": -low, "nothing": low * 0}[kind]
    mixed = slerp(low, high, strength)
    assert mixed.dtype == np.float32
    assert np.isfinite(mixed).all()
    np.testing.assert_allclose(slerp(low, high, 0.0), low, atol=1e-5)
    np.testing.assert_allclose(slerp(low, high, 1.0), high, atol=1e-5)
    if kind == "other":
        return
    longest = np.maximum(np.linalg.norm(low, axis=1), np.linalg.norm(high, axis=1))
    assert np.all(np.linalg.norm(mixed, axis=1) <= longest * (1 + 1e-3))


@given(shape=shapes, strength=st.floats(0, 1, width=32))
def test_columns_of_one_length_keep_it(shape: tuple[int, int, int], strength: float) -> None:
    channels, height, width = shape
    low, high = (
        each / np.linalg.norm(each, axis=1, keepdims=True)
        for each in (normal(1, channels, height + 1, width), normal(2, channels, height + 1, width))
    )
    np.testing.assert_allclose(np.linalg.norm(slerp(low, high, strength), axis=1), 1, atol=1e-3)


@given(inner=shapes, outer=shapes)
def test_what_two_sizes_have_in_common_is_in_the_middle_of_both(inner: tuple[int, int, int], outer: tuple[int, int, int]) -> None:
    noise, onto = np.ones((1, *inner[1:]), np.float32), np.zeros((1, *outer[1:]), np.float32)
    result = centred(noise, onto)
    assert result.shape == onto.shape
    assert not onto.any()
    for axis, (small, large) in enumerate(zip(inner[1:], outer[1:], strict=True)):
        taken = np.flatnonzero(np.any(result, axis=2 - axis)[0])
        # the reference leaves one line out where a larger noise is cut by an odd number of lines
        expected = small if small <= large else large - (small - large) % 2
        assert len(taken) == (expected if result.any() else 0)
        if len(taken):
            assert abs(taken[0] - (large - 1 - taken[-1])) <= 1

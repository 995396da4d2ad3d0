"""Evenly spaced values and interpolation: numpy's own, to the bit, where its compiled loops fuse nothing."""

import platform

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.exact.sequences import arange, interp, linspace

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="numpy's loops may fuse multiply-adds elsewhere")

numbers = st.floats(-1e3, 1e3, allow_subnormal=False)


@given(numbers, numbers, st.integers(1, 60), st.booleans())
def test_linspace(start: float, stop: float, num: int, endpoint: bool) -> None:
    np.testing.assert_array_equal(linspace(start, stop, num, endpoint=endpoint), np.linspace(start, stop, num, endpoint=endpoint))


@given(numbers, st.floats(0.01, 50), st.floats(0.1, 5), st.booleans())
def test_arange(start: float, length: float, step: float, falls: bool) -> None:
    sign = -1 if falls else 1
    np.testing.assert_array_equal(arange(start, start + sign * length, sign * step), np.arange(start, start + sign * length, sign * step))


@pytest.mark.parametrize("total", [1000, 999, 40])
def test_arange_of_trailing_timesteps(total: int) -> None:
    for n in range(1, total):
        np.testing.assert_array_equal(arange(total, 0, -total / n), np.arange(total, 0, -total / n))


@given(st.lists(numbers, min_size=1, max_size=30), st.lists(numbers, min_size=1, max_size=20, unique=True), st.integers(0, 2**32 - 1))
def test_interp(x: list[float], points: list[float], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=len(points))
    at = [*x, *points]
    np.testing.assert_array_equal(interp(at, sorted(points), values), np.interp(at, sorted(points), values))

"""How far arrays are apart: each figure against its definition."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sdrt.arrays import Array
from sdrt.metrics import difference, max_error, psnr, relative_error, ulps

FLOATS = st.sampled_from(["float16", "float32", "float64"])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Array, Array]:
    dtype = np.dtype(draw(FLOATS))
    width: Any = 8 * dtype.itemsize
    values = st.floats(-1000, 1000, width=width)
    shape = draw(st.integers(1, 12))
    return draw(arrays(dtype, shape, elements=values)), draw(arrays(dtype, shape, elements=values))


@given(pairs())
@settings(max_examples=60, deadline=None)
def test_every_figure_is_its_definition(pair: tuple[Array, Array]) -> None:
    a, b = (x.astype(np.float64) for x in pair)
    found = difference(*pair)
    assert found.equal == np.array_equal(a, b)
    assert found.max == np.abs(a - b).max() == max_error(*pair)
    assert found.mean == pytest.approx(np.abs(a - b).mean())
    if b.any():
        assert found.relative == pytest.approx(np.abs(a - b).max() / np.abs(b).max())
    if not found.equal and b.any() and np.square(a - b).mean() > 0:
        assert found.psnr == pytest.approx(10 * math.log10(np.abs(b).max() ** 2 / np.square(a - b).mean()))
    if a.any() and b.any() and not found.equal and np.square(a).sum() > 1e-200 and np.square(b).sum() > 1e-200:
        assert found.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-12)
    assert sum(found.ulps.counts) == len(a)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_ulps_count_neighbours(start: float, count: int) -> None:
    """Through zero too, in both directions, and for float64 with its last bit."""
    for dtype in (np.float32, np.float64):
        first = dtype(start)
        last = first
        for _ in range(count):
            last = np.nextafter(last, dtype(np.inf))
        if not np.isfinite(last):
            continue
        found = ulps(np.array([first]), np.array([last]))
        assert found.max == found.median == count
        assert ulps(np.array([last]), np.array([first])) == found
        place = 0 if not count else math.ceil(math.log2(count)) + 1
        assert found.counts == (0,) * place + (1,)


def test_what_cannot_be_counted() -> None:
    assert ulps(np.array([-1.7e308]), np.array([1.7e308])).max == np.iinfo(np.int64).max
    # in the coarser of two dtypes: a float64 next to a float32 is that float32
    assert ulps(np.array([1.0 + 1e-12]), np.array([1.0], np.float32)).max == 0
    assert ulps(np.zeros(0), np.zeros(0)).counts == ()
    assert psnr(np.array([np.inf]), np.array([1.0])) == -math.inf
    assert max_error(np.array([np.nan]), np.array([1.0])) == math.inf
    assert relative_error(np.zeros(0), np.zeros(0)) == 0
    zeros = difference(np.zeros(3), np.zeros(3))
    assert (zeros.relative, zeros.psnr, zeros.cosine) == (0, math.inf, 1)
    assert difference(np.ones(1), np.zeros(1)).relative == math.inf


def test_whole_numbers_are_held_against_floats() -> None:
    assert ulps(np.array([1, 2], np.int8), np.array([1, 2], np.float32)).max == 0
    assert ulps(np.array([1, 2], np.int8), np.array([1, 3], np.int64)).max == 2**51

"""Sums in a fixed tree: the order that the docstring states, whatever the layout in memory."""

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sdrt.exact.sums import tree_sum


def by_halves(terms: list[np.float32]) -> np.float32:
    """Add the second half to the first until one is left, number by number."""
    while len(terms) > 1:
        half = (len(terms) + 1) // 2
        terms = [a + b for a, b in itertools.zip_longest(terms[:half], terms[half:], fillvalue=np.float32(0))]
    return terms[0]


@given(shape=st.tuples(st.integers(1, 70), st.integers(1, 5), st.integers(1, 40)), seed=st.integers(0, 999), axis=st.integers(0, 2))
def test_halves_are_added_in_any_layout(shape: tuple[int, int, int], seed: int, axis: int) -> None:
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    wanted = np.apply_along_axis(lambda terms: by_halves(list(terms)), axis, x)
    for order in itertools.permutations(range(3)):
        laid_out = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
        assert tree_sum(laid_out, axis).tobytes() == np.ascontiguousarray(wanted).tobytes()
    assert np.array_equal(tree_sum(np.repeat(x, 2, axis=2)[:, :, ::2], axis, keepdims=True).squeeze(axis), wanted)


def test_several_axes_and_another_dtype() -> None:
    """From the last axis to the first, in float64 where asked; the error stays below that of one unit a level of the tree."""
    x = np.random.default_rng(0).standard_normal((5, 3, 1000)).astype(np.float32)
    inner = tree_sum(x, 2, dtype=np.float64)
    assert np.array_equal(tree_sum(x, (0, 2), dtype=np.float64), tree_sum(inner, 0))
    assert tree_sum(x, (0, 2), keepdims=True).shape == (1, 3, 1)
    for row in range(3):
        terms = x[:, row].ravel().tolist()
        assert abs(float(tree_sum(x, (0, 2))[row]) - math.fsum(terms)) < 14 * 2.0**-24 * math.fsum(map(abs, terms))


def test_empty_sums_are_zero() -> None:
    assert np.array_equal(tree_sum(np.empty((0, 3)), 0), np.zeros(3))
    assert tree_sum(np.empty((2, 0, 4), np.float32), 1).shape == (2, 4)

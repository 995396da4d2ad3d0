"""Powers of two in float32, against those of float64."""

import numpy as np
import pytest

from sdrt.arrays import F32
from sdrt.backends.numpy.scratch import Scratch
from sdrt.exact.exponential import exp2


def power(x: F32) -> F32:
    out = np.full_like(x, np.nan)
    exp2(x, out, Scratch())
    return out


def test_within_three_units_of_half_the_last_place() -> None:
    """Relative 3 * 2**-24 over all exponents of normal numbers: the polynomial's 9e-8, and the last roundings of its evaluation."""
    x = np.concatenate([np.linspace(-126, 127, 400_001), np.arange(-126, 128), np.linspace(-1e-6, 1e-6, 999)]).astype(np.float32)
    wanted = np.exp2(x.astype(np.float64))
    apart = np.abs(power(x) - wanted) / wanted
    assert 2 * 2.0**-24 < apart.max() < 3 * 2.0**-24
    assert np.array_equal(power(np.arange(-126, 128, dtype=np.float32)), np.exp2(np.arange(-126.0, 128.0)).astype(np.float32))


def test_beyond_normal_numbers_is_the_nearest_of_these() -> None:
    """A softmax's masked scores are -inf; a sigmoid's exponents may overflow. NaN stays, for the check of outputs to find."""
    found = power(np.array([-np.inf, -1e30, -126.0, 128.0, np.inf, np.nan], np.float32))
    assert found[:5].tolist() == [2.0**-126, 2.0**-126, 2.0**-126, 2.0**127, 2.0**127]
    assert np.isnan(found[5])


@pytest.mark.parametrize("far", [0.0, 1e4])
def test_each_number_stands_alone(far: float) -> None:
    """In place, in any shape, beside any others, and where a piece ends."""
    x = (np.random.default_rng(0).standard_normal(100_000) * 9).astype(np.float32)
    x[::1000] += far
    whole = power(x)
    assert np.concatenate([power(x[:1]), power(x[1:32_769]), power(x[32_769:])]).tobytes() == whole.tobytes()
    square = x.reshape(100, 1000)
    exp2(square, square, Scratch())
    assert square.tobytes() == whole.tobytes()

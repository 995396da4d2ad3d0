"""The integrals behind exponential Adams methods, against quadrature, and what makes their weights theirs."""

import math

import numpy as np
import pytest
import scipy.integrate
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.schedulers.steps.exponential import adams_weights, moment

# Steps of one-step runs with zero terminal SNR have a length of 13; stochastic ones count twice.
lengths = st.floats(-26, 26)


def integral(z: float, power: int) -> float:
    value, _ = scipy.integrate.quad(lambda s: math.exp(-z * (1 - s)) * s**power, 0, 1, epsabs=0, epsrel=1e-12)
    return float(value)


@settings(max_examples=200)
@given(z=lengths, k=st.integers(0, 4))
def test_moments_are_integrals(z: float, k: int) -> None:
    """To eleven digits: the recurrence loses some beside 1, where it takes over from the series."""
    assert moment(k, z) == pytest.approx(integral(z, k), rel=1e-11)


@pytest.mark.parametrize("edge", [1.0, -1.0])
@pytest.mark.parametrize("k", range(5))
def test_series_and_recurrence_meet(k: int, edge: float) -> None:
    assert moment(k, edge * (1 - 1e-12)) == pytest.approx(moment(k, edge), rel=1e-11)


@settings(max_examples=100)
@given(z=st.floats(-6, 6), degree=st.integers(0, 3), data=st.data())
def test_weights_are_exact_for_polynomials(z: float, degree: int, data: st.DataObject) -> None:
    """Of a degree below the number of predictions, wherever those are."""
    gaps = data.draw(st.lists(st.floats(0.3, 2.0), min_size=degree, max_size=degree))
    shares = tuple((1.0 - np.cumsum([0.0, *gaps])).tolist())
    values = [share**degree for share in shares]
    found = math.fsum(weight * value for weight, value in zip(adams_weights(z, shares), values, strict=True))
    assert found == pytest.approx(moment(degree, z), rel=1e-9)

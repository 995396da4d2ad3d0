"""The quantile of a beta distribution, against scipy's."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.schedulers.grids.beta_quantile import beta_quantile

shapes = st.floats(0.1, 20)
probabilities = st.one_of(st.just(0.0), st.floats(1e-30, 1))  # below, scipy gives up now and then: NaN, or a warning

# What the docstring states; scipy's two functions differ from each other by up to 2e-14.
CLOSE = 1e-12


@settings(max_examples=400)
@given(p=probabilities, a=shapes, b=shapes)
def test_it_is_the_inverse_of_scipys_incomplete_beta_function(p: float, a: float, b: float) -> None:
    x = beta_quantile(p, a, b)
    assert x == pytest.approx(float(scipy.special.betaincinv(a, b, p)), abs=CLOSE)


# where scipy gives up its search it says so, and what it has by then is within the bound
@pytest.mark.filterwarnings("ignore:Error in function boost:RuntimeWarning")
@settings(max_examples=100)
@given(p=probabilities, a=shapes, b=shapes)
def test_it_is_scipys_percent_point(p: float, a: float, b: float) -> None:
    assert beta_quantile(p, a, b) == pytest.approx(float(scipy.stats.beta.ppf(p, a, b)), abs=CLOSE)


@settings(max_examples=100)
@given(p=st.floats(1e-12, 0.4), a=shapes, b=shapes)
def test_small_quantiles_are_right_in_their_own_size(p: float, a: float, b: float) -> None:
    """Relative to themselves, down to 1e-250 and below: the beta spread's last ratios stand close to the lowest."""
    assert beta_quantile(p, a, b) == pytest.approx(float(scipy.special.betaincinv(a, b, p)), rel=1e-11, abs=1e-290)


@settings(max_examples=100)
@given(p=probabilities, q=probabilities, a=shapes, b=shapes)
def test_it_never_falls(p: float, q: float, a: float, b: float) -> None:
    low, high = sorted((p, q))
    # Newton's method stops within a few roundings: two probabilities that are almost one may trade places by that much.
    assert beta_quantile(low, a, b) <= beta_quantile(high, a, b) + 1e-14


@settings(max_examples=100)
@given(p=probabilities, a=shapes, b=shapes)
def test_it_is_mirrored(p: float, a: float, b: float) -> None:
    """Exactly: 1 - p is exact in [1/2, 1], so that the same tail is solved for."""
    p = max(p, 1 - p)
    assert beta_quantile(1 - p, b, a) == pytest.approx(1 - beta_quantile(p, a, b), abs=CLOSE)


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.6), (0.1, 20), (20, 0.1), (1, 1), (3, 0.5)])
def test_its_ends_are_those_of_the_distribution(a: float, b: float) -> None:
    assert [beta_quantile(p, a, b) for p in (0.0, 1.0, -0.5, 1.5)] == [0.0, 1.0, 0.0, 1.0]


def test_a_tiny_probability_has_a_quantile_where_scipy_gives_up() -> None:
    """x**2 * (3 - 2 x) = p, so about sqrt(p / 3)."""
    assert beta_quantile(5e-300, 2, 2) == pytest.approx((5e-300 / 3) ** 0.5, rel=1e-12)


def test_hand_checked_values() -> None:
    """Beta(1, 1) is uniform; Beta(2, 1) has the distribution function x**2; Beta(1/2, 1/2) is the arcsine law."""
    for p in np.linspace(0.05, 0.95, 7).tolist():
        assert beta_quantile(p, 1, 1) == pytest.approx(p, abs=1e-15)
        assert beta_quantile(p, 2, 1) == pytest.approx(p**0.5, abs=1e-15)
        assert beta_quantile(p, 0.5, 0.5) == pytest.approx(np.sin(np.pi * p / 2) ** 2, abs=1e-14)

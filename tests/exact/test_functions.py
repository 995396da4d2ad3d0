"""The own elementary functions: within a unit in the last place of libm's, nearly always correctly rounded, and always the same bits."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import fields
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.exact import functions
from sdrt.exact.log_gamma import log_gamma
from sdrt.exact.mathematics import EXACT, PLATFORM, functions_of
from sdrt.exact.quadrature import gauss_legendre

DIGITS = Context(prec=50)

# Each function, the range of its arguments, and how many units in the last place it may stand from libm's, which may be off by one itself.
CASES: dict[str, tuple[Callable[[float], float], float, float, int]] = {
    "exp": (math.exp, -700, 700, 1),
    "expm1": (math.expm1, -40, 700, 1),
    "log": (math.log, 1e-300, 1e300, 1),
    "log1p": (math.log1p, -0.9999, 1e6, 1),
    "sin": (math.sin, -9e5, 9e5, 1),
    "cos": (math.cos, -9e5, 9e5, 1),
    "arccos": (math.acos, -1, 1, 2),
}


def units_apart(a: float, b: float) -> float:
    return abs(a - b) / math.ulp(b) if b else abs(a) / math.ulp(0.0)


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_functions_are_libms_within_a_unit(name: str, data: st.DataObject) -> None:
    theirs, low, high, bound = CASES[name]
    x = data.draw(st.floats(low, high, allow_subnormal=False))
    assert units_apart(getattr(functions, name)(x), theirs(x)) <= bound


@given(st.floats(1e-3, 1e3), st.floats(-40, 40))
def test_powers_are_libms_within_a_unit(x: float, y: float) -> None:
    assert units_apart(functions.power(x, y), x**y) <= 1


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_angles_and_lengths_are_libms_within_two_units(x: float, y: float) -> None:
    if abs(x) > 1e-100 and abs(y) > 1e-100:
        assert units_apart(functions.arctan2(y, x), math.atan2(y, x)) <= 2
        assert units_apart(functions.hypot(y, x), math.hypot(y, x)) <= 1


@pytest.mark.parametrize("name", ["exp", "log", "power"])
def test_nearly_every_result_is_the_correctly_rounded_one(name: str) -> None:
    """2000 arguments against decimal arithmetic of 50 digits; none was wrong when this was written, and one in 500 may be."""
    x = np.random.default_rng(7).uniform(0.01, 20, 2000)
    found: Any = functions.power(x, 1 / 7) if name == "power" else getattr(functions, name)(x)
    exact = {
        "exp": lambda d: DIGITS.exp(d),
        "log": lambda d: DIGITS.ln(d),
        "power": lambda d: DIGITS.exp(DIGITS.multiply(DIGITS.ln(d), Decimal(1 / 7))),
    }[name]
    wrong = sum(float(exact(Decimal(each))) != value for each, value in zip(x.tolist(), found.tolist(), strict=True))
    assert wrong <= 4


def test_the_bits_are_always_these() -> None:
    """One digest of all functions over fixed arguments: the same on every machine, or the promise of exact numerics is broken."""
    x = (np.arange(1, 4097, dtype=np.float64) * 2654435761.0 % 65536.0) / 4096.0 + 2.0**-20
    values = [
        *(getattr(functions, name)(x) for name in ("exp", "expm1", "log", "log1p", "sin", "cos")),
        functions.arccos(x / 16.5),
        functions.arctan2(x, 5.0 - x),
        functions.hypot(x, 5.0 - x),
        functions.power(x, 1.7),
        np.array([log_gamma(each) for each in x[:64].tolist()]),
        *gauss_legendre(7),
    ]
    digest = hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest()
    assert digest == "437ca031fa050d2bb26ea9773fa44e9bb614b07afe340845b6a449e99ca07e49"


def test_a_result_is_of_its_arguments_kind() -> None:
    assert type(functions.exp(1.0)) is float
    assert type(functions.exp(np.float32(1))) is np.float32
    assert type(functions.log(np.float64(2))) is np.float64
    assert functions.sin(np.zeros((2, 3), np.float32)).dtype == np.float32
    assert functions.power(np.ones((2, 1)), 2.5).shape == (2, 1)
    assert functions.exp(np.zeros(0)).shape == (0,)


@given(st.floats(-80, 80, width=32))
def test_float32_is_rounded_once_from_float64(x: float) -> None:
    assert functions.exp(np.float32(x)) == np.float32(functions.exp(float(np.float32(x))))


def test_the_ends_of_the_ranges() -> None:
    inf = math.inf
    np.testing.assert_array_equal(functions.exp(np.array([-inf, -1000.0, 0.0, 1000.0, inf])), [0, 0, 1, inf, inf])
    np.testing.assert_array_equal(functions.expm1(np.array([-inf, 0.0, -0.0, 1000.0])), [-1, 0, 0, inf])
    np.testing.assert_array_equal(functions.log(np.array([0.0, 1.0, inf, -1.0])), [-inf, 0, inf, math.nan])
    np.testing.assert_array_equal(functions.log1p(np.array([-1.0, 0.0, inf, -2.0])), [-inf, 0, inf, math.nan])
    np.testing.assert_array_equal([functions.power(*each) for each in ((0.0, 2.0), (0.0, 0.0), (0.0, -1.0), (-2.0, 3))], [0, 1, inf, -8])
    assert functions.arccos(np.array([1.0, 0.0, -1.0])).tolist() == [0.0, math.pi / 2, math.pi]
    for name in ("exp", "expm1", "log", "log1p", "sin", "cos"):
        assert math.isnan(getattr(functions, name)(math.nan))
    assert math.isnan(functions.power(-2.0, 0.5))
    with pytest.raises(ValueError, match="angles must be below 1e\\+06, got 2e\\+06: take the remainder of a turn"):
        functions.sin(2e6)


@given(st.floats(0.05, 60))
def test_the_logarithm_of_the_gamma_function(x: float) -> None:
    assert log_gamma(x) == pytest.approx(math.lgamma(x), rel=2e-14, abs=2e-14)


@pytest.mark.parametrize("num_points", range(1, 11))
def test_quadrature_is_numpys_to_rounding(num_points: int) -> None:
    for ours, theirs in zip(gauss_legendre(num_points), np.polynomial.legendre.leggauss(num_points), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-15)


def test_exact_functions_are_sdrts_own() -> None:
    for each in fields(EXACT):
        assert each.name == "numerics" or getattr(EXACT, each.name).__module__.startswith("sdrt.exact"), each.name


def test_numerics_choose_the_functions() -> None:
    assert functions_of("exact") is EXACT
    assert functions_of("float32") is functions_of("float64") is PLATFORM
    assert PLATFORM.exp(0.1) == math.exp(0.1)
    assert PLATFORM.exp(np.float64(0.1)) == np.exp(np.float64(0.1))

"""Take away what exact numerics must not call: libm, and what adds or multiplies in an order that numpy chooses."""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from sdrt.exact.mathematics import PLATFORM

# The names stand in lines, apart from each other by blanks.
_MATH = "exp expm1 exp2 log log1p log2 log10 sin cos tan asin acos atan atan2 sinh cosh tanh pow hypot dist gamma lgamma erf erfc cbrt"
_NUMPY = (
    "exp expm1 exp2 log log1p log2 log10 sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh power float_power hypot logaddexp "
    "interp linspace logspace geomspace dot vdot inner outer tensordot einsum mean std var average nanmean trapezoid convolve correlate "
    "quantile percentile median nansum cumsum"
)


def poison(monkeypatch: pytest.MonkeyPatch, *, allow: tuple[str, ...] = ()) -> None:
    """Let each of these raise AssertionError for the rest of a test, but for numpy's functions named in ``allow``."""
    for module, names in ((math, _MATH), (np, _NUMPY)):
        for name in names.split():
            if name not in allow and hasattr(module, name):
                monkeypatch.setattr(module, name, _raising(f"{module.__name__}.{name}"))
    monkeypatch.setattr(np.linalg, "norm", _raising("np.linalg.norm"))
    for each in fields(PLATFORM):
        monkeypatch.setitem(PLATFORM.__dict__, each.name, _raising(f"PLATFORM.{each.name}"))


def _raising(name: str) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise AssertionError(f"{name} was called under exact numerics")

    return call

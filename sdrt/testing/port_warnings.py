"""Warnings of a port are its own affair: a test suite that makes errors of them must not make faults of them."""

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec

from sdrt.testing.fault import Fault

__all__ = ["ignoring_warnings"]

P = ParamSpec("P")


def ignoring_warnings(check: Callable[P, list[Fault]]) -> Callable[P, list[Fault]]:
    """Return a check that shows no warnings while it runs."""

    @functools.wraps(check)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> list[Fault]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return check(*args, **kwargs)

    return quiet

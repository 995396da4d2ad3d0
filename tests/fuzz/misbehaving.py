"""Generators that misbehave in each way that the suite counts, and in the two ways that are right: for tests of the suite itself."""

import contextlib
import os
import signal
import time
from pathlib import Path

import numpy as np

from sdrt.errors import ConfigError
from tests.fuzz.drawing import Draw


class _Raw(ConfigError):
    """An error whose message is not made printable."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.args = (message,)


def clean(draw: Draw) -> str | None:
    raise ConfigError("x must be 1, got 2; pass 1")


def fine(draw: Draw) -> str | None:
    return None


def other_exception(draw: Draw) -> str | None:
    raise KeyError("x")


def exits(draw: Draw) -> str | None:
    raise SystemExit(3)


def several_lines(draw: Draw) -> str | None:
    raise _Raw("one\ntwo")


def control_characters(draw: Draw) -> str | None:
    raise _Raw("\x1b[31mred")


def long(draw: Draw) -> str | None:
    raise _Raw("x" * 2_001)


def over_memory(draw: Draw) -> str | None:
    """Takes 128 MiB, which is more than a test allows: found out afterwards."""
    np.ones(2**24)
    return None


def far_over_memory(draw: Draw) -> str | None:
    np.ones(2**40)
    return None


def over_time(draw: Draw) -> str | None:
    while True:
        pass


def swallows_every_exception(draw: Draw) -> str | None:
    with contextlib.suppress(BaseException):
        while True:
            pass
    while True:
        pass


def waits(draw: Draw) -> str | None:
    time.sleep(1_000)
    return None


def silent(draw: Draw) -> str | None:
    return "x is no whole number: '1'"


def crash(draw: Draw) -> str | None:
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def litters(draw: Draw) -> None:
    """Write to a name that a case may draw."""
    Path("nan").write_bytes(b"")

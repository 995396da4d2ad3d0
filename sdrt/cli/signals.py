"""Ctrl-C and the signals that ask a process to end: one exception, raised once, so that everything is cleaned up behind it.

Python's own handler knows Ctrl-C alone, and raises again when the keys are pressed twice, in the middle of the cleaning up.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

__all__ = ["Interrupted", "came", "check", "deferred", "handled", "hold"]

# What is said of each. SIGHUP is a terminal that was closed, SIGBREAK Windows' Ctrl-Break.
_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated", "SIGBREAK": "interrupted"}
_NUMBERS = {int(getattr(signal, name)): word for name, word in _WORDS.items() if hasattr(signal, name)}

# Seconds that cleaning up may take; who asks again after that means it.
_PATIENCE = 3.0


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.word = _NUMBERS.get(number, "interrupted")
        # what a shell makes of a signal
        self.status = 128 + number


class _State:
    """Which signal came, and whether it may be raised. Signals belong to the process, and so does this."""

    number: int | None = None
    since = 0.0
    holds = 0

    def arrive(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.number is not None:
            if now - self.since > _PATIENCE:
                os._exit(128 + number)
            return
        self.number, self.since = number, now
        if not self.holds:
            raise Interrupted(number)


_state = _State()


@contextmanager
def handled(*, at_the_end: Literal["restore", "ignore"] = "restore") -> Iterator[None]:
    """Raise `Interrupted` in the ``with`` body, once, when a signal comes; one that is ignored, or has another handler, is left alone.

    Parameters
    ----------
    at_the_end : "restore" or "ignore"
        What becomes of the signals behind the body. Ignored, they cannot disturb how Python ends, which would print a traceback.
    """
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: handler for number in _NUMBERS if (handler := signal.getsignal(number)) in usual}
    if not before or threading.current_thread() is not threading.main_thread():
        # a command inside a command, or one in another thread, to which no signal comes
        yield
        return
    _state.number, _state.holds = None, 0
    try:
        for number in before:
            signal.signal(number, _state.arrive)
        yield
    finally:
        _state.holds += 1
        for number, handler in before.items():
            signal.signal(number, handler if at_the_end == "restore" else signal.SIG_IGN)
        _state.number, _state.holds = None, 0


@contextmanager
def deferred() -> Iterator[None]:
    """Hold a signal back until the ``with`` body is over: for what must be done whole, and takes no time."""
    _state.holds += 1
    try:
        yield
    finally:
        _state.holds -= 1
    check()


def hold() -> None:
    """Hold signals back from here on: what is left is to say how the command ended."""
    _state.holds += 1


def came() -> "Interrupted | None":
    """Return the signal that came, if one did: it may have been raised where exceptions vanish, as in a destructor."""
    return None if _state.number is None else Interrupted(_state.number)


def check() -> None:
    """Raise the signal that came, if one did and is not held back."""
    if _state.number is not None and not _state.holds:
        raise Interrupted(_state.number)

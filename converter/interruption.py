"""Let a command clean up when it is told to end by a signal whose default is to end the process at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

__all__ = ["Interrupted", "interruptible"]

# Asked to end by another process; the terminal was closed.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(BaseException):
    """A signal told the process to end.

    Parameters
    ----------
    number : int
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.strsignal(number))
        self.status = 128 + number  # as shells report it


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` where such a signal arrives; one that somebody already handles, or ignores, is left to them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    taken = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, _: Any) -> NoReturn:
    # a second one ends the process at once
    signal.signal(number, signal.SIG_DFL)
    raise Interrupted(number)

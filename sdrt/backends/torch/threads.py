"""How many threads a call may use. torch's number belongs to the process, and to each thread that has called it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["at_most"]

_lock = threading.Lock()
_calls = 0
_outside = 0


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Bound torch's pool while a call runs; what stood before the first of several calls at once stands again after the last."""
    global _calls, _outside  # one number for the process's own
    if threads is None:
        yield
        return
    with _lock:
        if _calls == 0:
            _outside = torch.get_num_threads()
        _calls += 1
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        with _lock:
            _calls -= 1
            # every thread restores its own copy of the number
            torch.set_num_threads(_outside)

"""How many threads a call may use. torch's number belongs to the process, and to each thread that has called it.

A forked child computes with one thread: those of torch's pool stay with the parent, and a child that asks for one waits for ever. A worker
that is to use every core starts by ``spawn`` instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sdrt.forking import ForkLock, on_child

__all__ = ["at_most"]

_lock = ForkLock()
_calls = 0
_outside = 0
_forked = False


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Bound torch's pool while a call runs; what stood before the first of several calls at once stands again after the last."""
    global _calls, _outside  # one number for the process's own
    if threads is None or _forked:
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
            # every thread restores its own copy of the number; a child that was forked in the call has none to restore
            if not _forked:
                torch.set_num_threads(_outside)


def _compute_alone() -> None:
    global _calls, _forked
    _calls, _forked = 0, True
    torch.set_num_threads(1)


on_child(_compute_alone)

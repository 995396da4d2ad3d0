"""Make a forked child able to go on: its locks open, and what belonged to the parent's threads made anew.

``os.fork`` copies one thread. A lock that another thread held stays closed in the child for ever, and a pool of threads is empty there.
Every lock of sdrt is a `ForkLock`; what else begins anew in a child registers with `reset_in_child` or `on_child`.
"""

import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

__all__ = ["ForkLock", "on_child", "reset_in_child"]


class _Resettable(Protocol):
    def reset(self) -> None: ...


_objects: "weakref.WeakSet[_Resettable]" = weakref.WeakSet()


def reset_in_child(each: _Resettable) -> None:
    """Have ``each.reset()`` called in every forked child for as long as the object lives."""
    _objects.add(each)


def on_child(action: Callable[[], None]) -> None:
    """Have a function called in every forked child, after the locks are open; systems that do not fork never call it."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=action)


class ForkLock:
    """A lock for ``with`` that is open in a forked child, whoever held it in the parent.

    Parameters
    ----------
    reentrant : bool
        Whether the thread that holds it may enter it again.
    """

    def __init__(self, *, reentrant: bool = False) -> None:
        self._make = threading.RLock if reentrant else threading.Lock
        self._lock = self._held = self._make()
        reset_in_child(self)

    def __enter__(self) -> None:
        lock = self._lock
        lock.acquire()
        self._held = lock

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # a thread that forks while it holds the lock leaves the old one, in the child too
        self._held.release()

    def reset(self) -> None:
        """Forget who holds it."""
        self._lock = self._make()


def _reset_all() -> None:
    for each in list(_objects):
        each.reset()
    if sys.version_info < (3, 12):
        _open_cached_properties()


def _open_cached_properties() -> None:
    """Give every cached property of sdrt a new lock: before Python 3.12 each has one, held while any object computes its value."""
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "sdrt" and module is not None]
    classes = [each for module in modules for each in list(vars(module).values()) if isinstance(each, type)]
    for each in {attribute for kind in classes for attribute in vars(kind).values() if isinstance(attribute, functools.cached_property)}:
        each.lock = threading.RLock()  # type: ignore[attr-defined]


on_child(_reset_all)

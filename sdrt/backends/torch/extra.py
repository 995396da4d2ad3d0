"""The packages of the extra ``torch``: whether they are there, and how their chatter is kept from whoever embeds sdrt."""

import importlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from sdrt.errors import BackendError, MissingExtraError
from sdrt.forking import ForkLock

__all__ = ["import_packages", "quiet", "require_packages"]

PACKAGES = ("torch", "diffusers", "transformers")

# Both filters below belong to the process: two threads that open networks at once would undo each other's.
_lock = ForkLock(reentrant=True)


def require_packages() -> None:
    """Raise MissingExtraError unless the packages are installed; nothing is imported."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise MissingExtraError(f"backend 'torch' needs {', '.join(missing)}; install the extra: pip install 'sdrt[torch]'")


def import_packages() -> None:
    """Import them, quietly.

    Raises
    ------
    MissingExtraError : one is not installed
    BackendError : one is installed and broken
    """
    require_packages()
    with quiet():
        for name in PACKAGES:
            try:
                importlib.import_module(name)
            except Exception as error:
                if not threading.main_thread().is_alive():
                    raise BackendError(
                        f"backend 'torch' cannot import {name} once the main thread has ended; call pipe.load() before it ends, or wait "
                        "for this thread there"
                    ) from error
                raise BackendError(
                    f"backend 'torch' cannot import {name} ({type(error).__name__}: {error}); install it anew: pip install 'sdrt[torch]'"
                ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back the warnings, log lines and progress bars of the three packages while a module is built.

    What they tell there is how their own classes change, and that a memory map cannot be written to.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
        before = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        # imported by now where it has anything to show; its own switch would turn the Hub client's bars on and off too
        bars: Any = sys.modules.get("transformers.utils.logging")
        shown = getattr(bars, "_tqdm_active", None)
        if shown:
            bars._tqdm_active = False
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
            if shown:
                bars._tqdm_active = shown

"""What the tools underneath say that helps nobody: kept from whoever converts."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType

__all__ = ["quiet", "silence_resource_tracker"]

# torch tells of shapes that a trace fixes, which is what is wanted; coremltools of a torch and a scikit-learn newer than those that it was
# tried with, and (eight times) that its runtime is for macOS; diffusers and transformers of names that they are to give up
_LOGGERS = ("coremltools", "diffusers", "transformers", "torch")

# Filters, levels and bars belong to the process: two threads that convert would undo each other's.
_lock = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back warnings, log lines below errors, and progress bars of torch, coremltools, diffusers and transformers."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        bars = _hide_bars()
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            for module, name, bar in bars:
                setattr(module, name, bar)


def silence_resource_tracker() -> None:
    """For a command line alone: processes started from now on say nothing of semaphores that a pool of workers left behind."""
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")


def _hide_bars() -> list[tuple[ModuleType, str, object]]:
    """Put bars that do not show in the place of coremltools' own; what was there."""
    from tqdm import tqdm

    found: list[tuple[ModuleType, str, object]] = [
        (module, name, bar)
        for key, module in list(sys.modules.items())
        if key.startswith("coremltools.")
        for name in ("tqdm", "_tqdm")
        if (bar := getattr(module, name, None)) is tqdm
    ]
    for module, name, _ in found:
        setattr(module, name, partial(tqdm, disable=True))
    return found

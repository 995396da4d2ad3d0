"""Import coremltools and its companions: only when needed, without their noise, and repaired where a release breaks."""

import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from sdrt.errors import MissingExtraError
from sdrt.forking import ForkLock

__all__ = ["conversion_toolkit", "quiet", "require_packages", "silence_resource_tracker", "toolkit", "validated_once"]

# Their warnings help no user: torch reports shapes that a trace fixes, which is intended; coremltools reports versions of torch and
# scikit-learn newer than it was tested with, and (eight times) that its runtime is for macOS; diffusers and transformers report names that
# they will remove.
_LOGGERS = ("coremltools", "diffusers", "transformers", "torch")

# Filters, levels and progress bars belong to the process: two threads that convert at once would undo each other's.
_lock = ForkLock(reentrant=True)


def require_packages(*names: str) -> None:
    """Raise MissingExtraError unless these packages are installed; nothing is imported."""
    if missing := [name for name in names if find_spec(name) is None]:
        raise MissingExtraError(f"the converter needs {', '.join(missing)}; install the extra: pip install 'sdrt[convert]'")


def toolkit(module: str = "coremltools") -> Any:
    """Import coremltools, or a module of it, quietly; the import takes seconds, which a command line that only shows its help avoids.

    Raises
    ------
    MissingExtraError : it is not installed, or its installation is broken
    """
    try:
        with quiet():
            return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"the converter needs {module} ({error}); install the extra: pip install 'sdrt[convert]'") from error


@cache
def conversion_toolkit() -> Any:
    """Import coremltools for converting torch modules, repaired where its release does not work with its neighbours.

    coremltools 9.0 breaks with numpy 2.4: its torch front end calls ``int`` on arrays of one element, which numpy no longer allows. 9.1
    does not, so it is left alone (apple/coremltools#2633, PR 2632).
    """
    tools = toolkit()
    if tools.__version__.startswith("9.0"):
        torch_ops = toolkit("coremltools.converters.mil.frontend.torch.ops")
        original = torch_ops._cast
        torch_ops._cast = lambda context, node, dtype, name: original(context, node, _OneElement if dtype is int else dtype, name)
    return tools


class _OneElement(int):
    """``int`` that also accepts an array of one element."""

    def __new__(cls, value: Any) -> Any:
        return int(np.asarray(value).item())


@contextmanager
def validated_once() -> Iterator[None]:
    """Convert without validating the whole program after each of several hundred passes, which takes half the time of a conversion.

    The caller validates the result once instead: call ``model._mil_program.validate`` outside this context.
    """
    program = toolkit("coremltools.converters.mil.mil").Program
    validate = program.validate
    program.validate = lambda self, check_essential_scope=False: None  # noqa: ARG005 the names are those of the method
    try:
        yield
    finally:
        program.validate = validate


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, log lines below errors, and progress bars of torch, coremltools, diffusers and transformers."""
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
    """Keep processes started from now on from warning about semaphores that a pool of workers left behind; for a command line only."""
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")


def _hide_bars() -> list[tuple[ModuleType, str, object]]:
    """Replace coremltools' progress bars by invisible ones, and return the originals with their places."""
    from tqdm import tqdm

    originals: list[tuple[ModuleType, str, object]] = [
        (module, name, bar)
        for key, module in list(sys.modules.items())
        if key.startswith("coremltools.")
        for name in ("tqdm", "_tqdm")
        if (bar := getattr(module, name, None)) is tqdm
    ]
    for module, name, _ in originals:
        setattr(module, name, partial(tqdm, disable=True))
    return originals

"""coremltools, imported when it is first needed: it takes seconds, and a command line that only shows its help does without."""

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from sdrt.errors import MissingExtraError

__all__ = ["quietly", "toolkit"]


def toolkit(module: str = "coremltools") -> Any:
    """coremltools, or a module of it.

    Raises
    ------
    MissingExtraError : it is not installed, or its installation is broken
    """
    try:
        with quietly():
            return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{module} is needed and cannot be imported ({error}); pip install 'sdrt[convert]'") from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without coremltools' progress bars, and its warnings of the versions that it was tried with; errors are raised as ever."""
    level = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)

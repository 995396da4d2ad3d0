"""coremltools, imported when it is first needed: it takes seconds, and a command line that only shows its help does without."""

import importlib
from typing import Any

from converter.quiet import quiet
from sdrt.errors import MissingExtraError

__all__ = ["toolkit"]


def toolkit(module: str = "coremltools") -> Any:
    """coremltools, or a module of it, imported without its noise.

    Raises
    ------
    MissingExtraError : it is not installed, or its installation is broken
    """
    try:
        with quiet():
            return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"the converter needs {module} ({error}); install the extra: pip install 'sdrt[convert]'") from error

"""coremltools, imported without its noise, and mended where a release of it does not go with its neighbours.

coremltools 9.0 breaks with numpy 2.4: its torch front end calls ``int`` on arrays of one element, which numpy no longer allows. 9.1 does
not; there, nothing is mended (apple/coremltools#2633, PR 2632).
"""

import importlib
from typing import Any

import numpy as np

from converter.quiet import quiet
from sdrt.errors import MissingExtraError

__all__ = ["ct"]


class _OneElement(int):
    """``int``, of an array of one element too."""

    def __new__(cls, value: Any) -> Any:
        return int(np.asarray(value).item())


def _import() -> Any:
    try:
        with quiet():
            tools = importlib.import_module("coremltools")
    except ImportError as error:
        raise MissingExtraError(f"the converter needs coremltools ({error}); install the extra: pip install 'sdrt[convert]'") from error
    if tools.__version__.startswith("9.0"):
        _mend_integer_casts()
    return tools


def _mend_integer_casts() -> None:
    with quiet():
        torch_ops = importlib.import_module("coremltools.converters.mil.frontend.torch.ops")
    plain = torch_ops._cast
    torch_ops._cast = lambda context, node, dtype, name: plain(context, node, _OneElement if dtype is int else dtype, name)


ct: Any = _import()

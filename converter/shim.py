"""coremltools, mended where a release of it does not go with its neighbours.

coremltools 9.0 breaks with numpy 2.4: its torch front end calls ``int`` on arrays of one element, which numpy no longer allows. 9.1 does
not; there, nothing is mended (apple/coremltools#2633, PR 2632).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from converter.toolkit import toolkit

__all__ = ["ct", "validated_once"]


class _OneElement(int):
    """``int``, of an array of one element too."""

    def __new__(cls, value: Any) -> Any:
        return int(np.asarray(value).item())


def _import() -> Any:
    tools = toolkit()
    if tools.__version__.startswith("9.0"):
        _mend_integer_casts()
    return tools


def _mend_integer_casts() -> None:
    torch_ops = toolkit("coremltools.converters.mil.frontend.torch.ops")
    plain = torch_ops._cast
    torch_ops._cast = lambda context, node, dtype, name: plain(context, node, _OneElement if dtype is int else dtype, name)


ct: Any = _import()


@contextmanager
def validated_once() -> Iterator[None]:
    """Convert without looking at the whole program after each of some hundred passes, which takes half the time of a conversion.

    What comes out is looked at as before: validate ``model._mil_program`` once, outside.
    """
    program = toolkit("coremltools.converters.mil.mil").Program
    plain = program.validate
    program.validate = lambda self, check_essential_scope=False: None  # noqa: ARG005 the names are those of the method
    try:
        yield
    finally:
        program.validate = plain

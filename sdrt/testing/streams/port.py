"""A noise stream to be checked, in any of the forms that a port may have."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.testing.foreign_arrays import as_numpy

__all__ = ["Draws", "StreamPort", "as_float64"]

Draws = Callable[[tuple[int, ...]], Any]


class StreamPort:
    """A function of (seed, shape), a function that makes a stream of a seed, or one stream that has been made already.

    Parameters
    ----------
    stream : callable or stream
        A stream has ``normal(shape)``; one that has been made also has its ``seed``.

    Raises
    ------
    ConfigError : none of these
    """

    def __init__(self, stream: Any) -> None:
        made = hasattr(stream, "normal") and not inspect.isclass(stream)
        if not made and not callable(stream):
            raise ConfigError(
                f"stream must be a function of (seed, shape) or a noise stream, got {shown(stream)}; pass the function itself"
            )
        self._stream = stream
        # A stream that has been made is drawn from once: at its own seed.
        self.seed: int | None = int(stream.seed) if made else None
        # Whether draws of one seed go on where the last ended.
        self.continues = made or _is_factory(stream)

    def open(self, seed: int) -> Draws:
        """Return a function of shapes that draws from the start of a seed."""
        if self.seed is not None:
            return lambda shape: self._stream.normal(shape)
        if self.continues:
            made = self._stream(seed)
            return lambda shape: made.normal(shape)
        return lambda shape: self._stream(seed, shape)


def _is_factory(stream: Any) -> bool:
    """Whether a callable needs a seed alone, as classes of streams do."""
    if inspect.isclass(stream):
        return True
    try:
        parameters = inspect.signature(stream).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(each.kind == each.VAR_POSITIONAL for each in parameters):
        return False
    needed = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is each.empty]
    return len(needed) <= 1


def as_float64(drawn: Any) -> F64 | None:
    """Return what a port drew as float64; None where it is no array of real floats."""
    array = as_numpy(drawn)
    return array.astype(np.float64) if array.dtype.kind == "f" else None

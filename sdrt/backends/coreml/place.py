"""Where in a program something stands, and what numpy's errors become there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sdrt.errors import ModelError, SdrtError
from sdrt.models.mlpackage.mil import Operation

__all__ = ["Place", "failing"]

# What numpy and Python raise for arguments that do not fit an operation.
_FAULTS = (ValueError, IndexError, TypeError, KeyError, ArithmeticError, MemoryError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Place:
    """An operation of a function, for messages."""

    function: str
    operation: Operation

    def __str__(self) -> str:
        return f"function {self.function!r}, operation {self.operation.type} {self.operation.name!r}"


@contextmanager
def failing(place: Place) -> Iterator[None]:
    """Give every fault the place where it happened.

    Raises
    ------
    ModelError : something failed
    """
    try:
        yield
    except SdrtError:
        raise
    except _FAULTS as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{place}: {words}; the model is damaged, or its inputs are outside what it allows") from error

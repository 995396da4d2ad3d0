"""The gate for values: a kind states what a value may be, checks it once, and returns it as a plain Python value.

What comes from JSON, metadata, a command line or a caller is declared as a *kind* and passes through :meth:`Kind.check`, or, a whole
mapping at once, through :func:`read_values`. Code behind a gate relies on it and does not check again.

>>> Integer(minimum=1).check("num_images", "3")
Traceback (most recent call last):
...
sdrt.errors.ConfigError: num_images must be a whole number of at least 1, got '3'; pass such a value
>>> read_values("scheduler_config.json: ", {"solver_order": 2.0}, {"solver_order": Integer(minimum=1, whole_floats=True)})
{'solver_order': 2}
"""

import math
import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sdrt.errors import ConfigError, SdrtError
from sdrt.printable import shown

__all__ = [
    "Anything",
    "Choice",
    "Either",
    "FilePath",
    "Flag",
    "Function",
    "Instance",
    "Integer",
    "Kind",
    "ListOf",
    "MappingOf",
    "Nullable",
    "Number",
    "RefusedError",
    "Text",
    "read_values",
]

T_co = TypeVar("T_co", covariant=True)

# Python refuses to write out whole numbers of more than 4,300 digits; none that is meant has a thousand.
_MOST_BITS = 3_000


class RefusedError(ValueError):
    """A value is not of the kind; :meth:`Kind.check` says so in the words of its caller."""


class Kind(ABC, Generic[T_co]):
    """What a value may be."""

    @abstractmethod
    def describe(self) -> str:
        """Return the rule as a noun phrase: ``a whole number of at least 1``."""

    @abstractmethod
    def convert(self, value: object) -> T_co:
        """Return the value as a plain Python value.

        Raises
        ------
        RefusedError : it is not of this kind
        """

    def check(self, name: str, value: object, repair: str = "pass such a value", error: type[SdrtError] = ConfigError) -> T_co:
        """Return the value as a plain Python value, or raise ``error`` in one line: the rule, the value, the repair."""
        try:
            return self.convert(value)
        except RefusedError:
            raise error(f"{name} must be {self.describe()}, got {shown(value)}; {repair}") from None


@dataclass(frozen=True)
class Anything(Kind[Any]):
    """Any value at all: for keys that are carried along and not read."""

    def describe(self) -> str:
        return "anything"

    def convert(self, value: object) -> Any:
        return value


@dataclass(frozen=True)
class Integer(Kind[int]):
    """A whole number of any integer type, numpy's included; never a bool.

    Parameters
    ----------
    minimum, maximum : int or None
    whole_floats : bool
        Whether 2.0 stands for 2, as some tools write it into JSON.
    """

    minimum: int | None = None
    maximum: int | None = None
    whole_floats: bool = False

    def describe(self) -> str:
        return f"a whole number{_span(self.minimum, self.maximum)}"

    def convert(self, value: object) -> int:
        if type(value).__name__ in ("bool", "bool_"):
            raise RefusedError
        if self.whole_floats and isinstance(value, float) and value.is_integer():
            value = int(value)
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 -- a caller's class may raise anything in __index__
            raise RefusedError from None
        if not _within(number, self.minimum, self.maximum) or number.bit_length() > _MOST_BITS:
            raise RefusedError
        return number


@dataclass(frozen=True)
class Number(Kind[float]):
    """A real number of any real type, numpy's included; never a bool, never NaN. A whole number stays an int.

    Parameters
    ----------
    minimum, maximum : float or None
        Both included, unless ``above`` is set.
    above : bool
        Whether ``minimum`` itself is excluded.
    infinite : bool
        Whether an infinity is allowed.
    """

    minimum: float | None = None
    maximum: float | None = None
    above: bool = False
    infinite: bool = False

    def describe(self) -> str:
        finite = "a number" if self.infinite else "a finite number"
        if self.above and self.maximum is None:
            return f"{finite} above {self.minimum:g}"
        if self.above:
            return f"{finite} above {self.minimum:g} and at most {self.maximum:g}"
        return f"{finite}{_span(self.minimum, self.maximum)}"

    def convert(self, value: object) -> float:
        if not isinstance(value, int | float):
            # numpy's scalars: neither text nor arrays have both
            if not (hasattr(value, "__float__") and hasattr(value, "item") and getattr(value, "shape", None) == ()):
                raise RefusedError
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RefusedError
        try:
            finite = math.isfinite(value)
        except OverflowError:
            raise RefusedError from None
        if math.isnan(value) or not (finite or self.infinite) or not _within(value, self.minimum, self.maximum):
            raise RefusedError
        if self.above and value == self.minimum:
            raise RefusedError
        return value if type(value) in (int, float) else float(value)


@dataclass(frozen=True)
class Flag(Kind[bool]):
    """True or False; neither 1 nor ``"true"``."""

    def describe(self) -> str:
        return "true or false"

    def convert(self, value: object) -> bool:
        if type(value).__name__ not in ("bool", "bool_"):
            raise RefusedError
        return bool(value)


@dataclass(frozen=True)
class Text(Kind[str]):
    """A text of valid Unicode: one with half of a surrogate pair could be neither stored nor printed.

    Parameters
    ----------
    length : int or None
        The most characters; None for any number, where another limit holds.
    empty : bool
        Whether it may be empty.
    """

    length: int | None = 10_000
    empty: bool = True

    def describe(self) -> str:
        if self.length is None:
            return "a Unicode string" if self.empty else "a Unicode string that is not empty"
        return f"a Unicode string of {'at most' if self.empty else '1 to'} {self.length} characters"

    def convert(self, value: object) -> str:
        if not isinstance(value, str) or not (value or self.empty) or (self.length is not None and len(value) > self.length):
            raise RefusedError
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RefusedError from None
        return str(value)


@dataclass(frozen=True)
class FilePath(Kind[Path]):
    """A path as text, Path or another ``os.PathLike`` of text; without a NUL."""

    def describe(self) -> str:
        return "a path"

    def convert(self, value: object) -> Path:
        try:
            path = os.fspath(value)  # type: ignore[call-overload]
        except Exception:  # noqa: BLE001 -- a caller's class may raise anything in __fspath__
            raise RefusedError from None
        if not isinstance(path, str) or "\0" in path:
            raise RefusedError
        return Path(path)


@dataclass(frozen=True)
class Function(Kind[Callable[..., Any]]):
    """A function, or another object that can be called."""

    def describe(self) -> str:
        return "a function"

    def convert(self, value: object) -> Callable[..., Any]:
        if not callable(value):
            raise RefusedError
        return value


class Instance(Kind[Any]):
    """An object of a class."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def describe(self) -> str:
        return f"an object of the class {self.kind.__name__}"

    def convert(self, value: object) -> Any:
        if not isinstance(value, self.kind):
            raise RefusedError
        return value


class Choice(Kind[Any]):
    """One of some values, of the same type as the choice: True is not 1.

    Parameters
    ----------
    *choices
    """

    def __init__(self, *choices: object) -> None:
        self.choices = choices

    def describe(self) -> str:
        return " or ".join(map(repr, self.choices))

    def convert(self, value: object) -> Any:
        for choice in self.choices:
            # compared by type first: an array, or a caller's class, may answer == with anything
            if type(value) is type(choice) and value == choice:
                return choice
        raise RefusedError


@dataclass(frozen=True)
class Nullable(Kind[Any]):
    """None, or a value of a kind."""

    kind: Kind[Any]

    def describe(self) -> str:
        return f"{self.kind.describe()}, or null"

    def convert(self, value: object) -> Any:
        return None if value is None else self.kind.convert(value)


class Either(Kind[Any]):
    """A value of the first kind that admits it."""

    def __init__(self, *kinds: Kind[Any]) -> None:
        self.kinds = kinds

    def describe(self) -> str:
        return ", or ".join(kind.describe() for kind in self.kinds)

    def convert(self, value: object) -> Any:
        for kind in self.kinds:
            try:
                return kind.convert(value)
            except RefusedError:
                continue
        raise RefusedError


@dataclass(frozen=True)
class ListOf(Kind[tuple[Any, ...]]):
    """A list, tuple or one-dimensional array whose entries are of one kind, as a tuple.

    Parameters
    ----------
    kind : Kind
    minimum, maximum : int
        How many entries.
    """

    kind: Kind[Any]
    minimum: int = 0
    maximum: int = 1_000_000

    def describe(self) -> str:
        bounded = self.maximum != ListOf.maximum
        at_least = f"of {self.minimum} to {self.maximum} " if bounded else f"of at least {self.minimum} "
        count = f"of {self.minimum} " if self.minimum == self.maximum else at_least if self.minimum else ""
        most = f", at most {self.maximum}" if bounded and not count else ""
        return f"a list {count}whose entries are each {self.kind.describe()}{most}"

    def convert(self, value: object) -> tuple[Any, ...]:
        if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist"):
            value = value.tolist()
        if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not self.minimum <= len(value) <= self.maximum:
            raise RefusedError
        return tuple(self.kind.convert(entry) for entry in value)


@dataclass(frozen=True)
class MappingOf(Kind[dict[str, Any]]):
    """A mapping from text to values of one kind, as a dict."""

    kind: Kind[Any]

    def describe(self) -> str:
        kind = self.kind.describe()
        return "a mapping" if kind == Anything().describe() else f"a mapping whose values are each {kind}"

    def convert(self, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise RefusedError
        return {key: self.kind.convert(entry) for key, entry in value.items()}


def read_values(
    owner: str,
    values: Mapping[str, Any],
    kinds: Mapping[str, Kind[Any]],
    repair: str = "correct the value",
    error: type[SdrtError] = ConfigError,
) -> dict[str, Any]:
    """Check the values that are declared, and return those; what is not declared is left out, and what is missing stays missing.

    Parameters
    ----------
    owner : str
        What stands before each name in a message, with the space or colon after it: ``"scheduler_config.json: "``.
    values : mapping
    kinds : mapping from name to Kind

    Raises
    ------
    error : a value is not of its kind
    """
    return {name: kind.check(f"{owner}{name}", values[name], repair, error) for name, kind in kinds.items() if name in values}


def _within(value: float, minimum: float | None, maximum: float | None) -> bool:
    return (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


def _span(minimum: float | None, maximum: float | None) -> str:
    if minimum is None and maximum is None:
        return ""
    if maximum is None:
        return f" of at least {minimum}"
    return f" of at most {maximum}" if minimum is None else f" from {minimum} to {maximum}"

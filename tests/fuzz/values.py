"""Values of kinds that nobody asked for, and small changes of good ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.drawing import Draw

HOSTILE_TEXTS = (
    "",
    " ",
    "text",
    "20",
    "-1",
    "0.5",
    "nan",
    "true",
    "false",
    "None",
    "\x1b[31mred\x1b[0m",
    "two\nlines\r",
    "nul\0",
    "\u202eright to left",
    "\ud800 half a pair",
    "\ufeffmark",
    "word " * 1_000,
    "x" * 5_000,
    "../../etc/passwd",
    "~nouser/x",
    "%s %(x)d {0} {x}",
)
HOSTILE_NUMBERS = (
    *(0, 1, -1, 2, 3, 7, 255, 10**6, 10**9, 2**31 - 1, 2**31, 2**63, 2**64, -(2**63), 10**400, -(10**400)),
    *(float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 0.5, 1.0, 2.0, 2.5, -0.5, 1e-320, 1e-9, 1e9, 1e300, -1e300),
)
PLAIN: tuple[Callable[[], Any], ...] = (
    lambda: True,
    lambda: False,
    lambda: None,
    list,
    dict,
    lambda: [1],
    lambda: [0.5, 1],
    lambda: [1, 2, 3, 4],
    lambda: ["a"],
    lambda: [[1, 2], [3]],
    lambda: [None],
    lambda: [0] * 20_000,
    lambda: {"a": 1},
    lambda: {"_class_name": "DDIMScheduler"},
    lambda: {"": {"": {}}},
)


class Unfriendly:
    """An object of which everything that can be asked fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr\nfor you")

    def __index__(self) -> int:
        raise RuntimeError("no index")

    def __float__(self) -> float:
        raise RuntimeError("no float")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __fspath__(self) -> str:
        raise RuntimeError("no path")


def _loop() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


FOREIGN: tuple[Callable[[], Any], ...] = (
    object,
    Unfriendly,
    _loop,
    lambda: Unfriendly,
    lambda: b"bytes",
    lambda: (1, 2),
    lambda: {1, 2},
    lambda: range(3),
    lambda: 3 + 4j,
    lambda: Decimal("0.5"),
    lambda: Fraction(1, 3),
    lambda: Path("name"),
    lambda: iter([1]),
    lambda: print,
    lambda: np.float32(3),
    lambda: np.float64(np.nan),
    lambda: np.int64(2),
    lambda: np.bool_(True),
    lambda: np.str_("text"),
    lambda: np.array([1.0, 2.0]),
    lambda: np.array([np.nan]),
    lambda: np.array(3),
    lambda: np.array(["a"], dtype=object),
    lambda: np.zeros((2, 3, 4), np.float32),
    lambda: np.zeros((0,), np.float32),
    lambda: np.zeros(3, [("a", "f4")]),
    lambda: {1: 2},
    lambda: nested(2_000),
)


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def json_value(draw: Draw) -> Any:
    """A value that JSON, or Python's reading of it, can hold."""
    kind = draw.random()
    if kind < 0.4:
        return draw.choice(HOSTILE_NUMBERS)
    return draw.choice(HOSTILE_TEXTS) if kind < 0.7 else draw.choice(PLAIN)()


def any_value(draw: Draw) -> Any:
    """A value that a caller may pass."""
    return draw.choice(FOREIGN)() if draw.chance(0.35) else json_value(draw)


def near(draw: Draw, value: Any, other: Callable[[Draw], Any] = any_value) -> Any:
    """A value like this one: of another type, a little off, or far off; for mappings and the like, any other."""
    if isinstance(value, bool):
        return draw.choice((not value, int(value), str(value).lower(), str(value), [value]))
    if isinstance(value, int | float):
        if abs(value) > 1e300:
            return str(value)
        changes = (value + 1, -value, str(value), float(value), value * 2, value + 0.5, [value], value * 10**6, bool(value), [value, value])
        return draw.choice(changes)
    if isinstance(value, str):
        return draw.choice(
            (value.upper(), f" {value}", value[:-1], [value], value * 2, f"{value}\n", value.encode("utf-8", "surrogatepass"))
        )
    if isinstance(value, list | tuple) and value:
        return draw.choice((value[:-1], [*value, value[-1]], value[0], [value], [*value[:-1], near(draw, value[-1], other)], value[::-1]))
    return other(draw)


# ---- what a value was declared as, told without sdrt's own gate


@dataclass(frozen=True)
class Declared:
    """A kind of values.

    Parameters
    ----------
    name : str
    admits : function
        Whether a value that is not None is of the kind.
    """

    name: str
    admits: Callable[[Any], bool]


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not _is_flag(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not _is_flag(value) and value == value


FLAG = Declared("true or false", _is_flag)
WHOLE = Declared("a whole number", _is_whole)
# as JSON of some tools writes them
WHOLE_FLOAT = Declared("a whole number", lambda value: _is_whole(value) or (isinstance(value, float) and value.is_integer()))
NUMBER = Declared("a number", _is_number)
TEXT = Declared("text", lambda value: isinstance(value, str))
PATH = Declared("a path", lambda value: isinstance(value, str | Path))
MAPPING = Declared("a mapping", lambda value: isinstance(value, Mapping))


def one_of(*choices: Any) -> Declared:
    return Declared(" or ".join(map(str, choices)), lambda value: any(type(value) is type(each) and value == each for each in choices))


def each(kind: Declared) -> Declared:
    """A value of a kind, or several."""

    def admits(value: Any) -> bool:
        return kind.admits(value) or (isinstance(value, list | tuple) and all(map(kind.admits, value)))

    return Declared(f"{kind.name}, or several", admits)


def wrong_kinds(values: Mapping[str, Any], declared: Mapping[str, Declared]) -> str | None:
    """Say which of the values that were accepted are of another kind than declared; None passes for "left out"."""
    # an array without axes is the scalar that it holds
    plain = {name: value.item() if isinstance(value, np.ndarray) and value.shape == () else value for name, value in values.items()}
    wrong = [name for name, kind in declared.items() if plain.get(name) is not None and not kind.admits(plain[name])]
    return None if not wrong else "; ".join(f"{name} is no {declared[name].name}: {ascii_of(values[name])}" for name in wrong)


def has_nan(*arrays: Any) -> bool:
    return any(bool(np.isnan(np.asarray(array, np.float64)).any()) for array in arrays)


def ascii_of(value: Any) -> str:
    try:
        return ascii(value)[:80]
    except Exception:  # noqa: BLE001 the objects above fail on purpose
        return f"a {type(value).__name__}"

"""JSON from others: what Python's own reader lets through or stumbles over is one error.

Refused are NaN, a name that stands twice in one object (Python would take the last), nesting without end, and numbers of thousands of
digits. ``Infinity`` is read, as diffusers writes it into scheduler configurations; so is a byte order mark.
"""

import json
from typing import Any, NoReturn

from sdrt.errors import ModelError, SdrtError
from sdrt.printable import shown

__all__ = ["DEPTH", "parse_json"]

# Objects and lists inside each other. Real files have 10; Python's reader gives up near 1,000, and so would what reads the values.
DEPTH = 200


class _RefusedError(ValueError):
    """What Python would accept."""


def parse_json(text: str, name: str, repair: str = "fetch it again", error: type[SdrtError] = ModelError) -> Any:
    """Return the value that a text holds.

    Parameters
    ----------
    text : str
    name : str
        What the text is, for the message: the path of its file.
    repair : str
    error : class of SdrtError

    Raises
    ------
    error : it is no JSON

    >>> parse_json('{"a": 1, "a": 2}', "config.json")
    Traceback (most recent call last):
    ...
    sdrt.errors.ModelError: config.json: not readable as JSON (the name 'a' stands twice in one object); fetch it again
    """
    try:
        value = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_object, parse_constant=_constant)
        # counted first, since to walk a vocabulary takes milliseconds
        if text.count("[") + text.count("{") > DEPTH:
            _check_depth(value)
    except RecursionError:
        raise error(f"{name}: not readable as JSON (nested deeper than {DEPTH}); {repair}") from None
    except ValueError as problem:
        reason = str(problem).partition(";")[0]
        raise error(f"{name}: not readable as JSON ({reason}); {repair}") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RefusedError(f"the name {shown(twice)} stands twice in one object")
    return content


def _constant(word: str) -> float:
    if word == "NaN":
        _refuse("NaN is not valid JSON")
    return float(word)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH):
        level = [
            inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer) if isinstance(inner, dict | list)
        ]
        if not level:
            return
    _refuse(f"nested deeper than {DEPTH}")


def _refuse(reason: str) -> NoReturn:
    raise _RefusedError(reason)

"""The symbols of a ``model.mil`` text, one after another, and errors that name their line."""

import re
from collections.abc import Callable
from typing import Any, Never, TypeVar

from sdrt.errors import ModelError

__all__ = ["Symbols"]

_SYMBOL = re.compile(
    r"""\s*(?: (?P<string>"(?:[^"\\]|\\.)*") | (?P<arrow>->)
      | (?P<number>-?(?:0[xX][0-9a-fA-F.]+(?:[pP][+-]?\d+)?|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|inf\b|nan\b))
      | (?P<name>[A-Za-z_@$][\w@$.]*) | (?P<mark>[()\[\]{}<>,;=?:]) )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_DEPTH = 64

_Item = TypeVar("_Item")


class Symbols:
    """A place in a text, and the symbol that stands there.

    Parameters
    ----------
    text, file : str
        The text, and the file for messages.
    """

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._at = 0
        self._depth = 0
        self._kind, self._symbol = "", ""
        self._next()

    def _scalar(self) -> Any:
        kind, symbol = self._kind, self._symbol
        self._next()
        if kind == "string":
            return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), symbol[1:-1])
        if symbol in ("true", "false"):
            return symbol == "true"
        if kind == "number" or symbol in ("inf", "nan"):
            return self._number(symbol)
        raise self._problem(f"a value is expected, got {symbol!r}")

    def _number(self, symbol: str) -> int | float:
        try:
            if "x" in symbol.lower():
                return float.fromhex(symbol)
            return float(symbol) if re.search(r"[.einf]", symbol) else int(symbol)
        except (ValueError, OverflowError):
            self._fail(f"{symbol!r} is no number")

    def _integer(self) -> int:
        value = self._scalar()
        if not isinstance(value, int) or isinstance(value, bool):
            self._fail(f"a whole number is expected, got {value!r}")
        return value

    def _list(self, opening: str, closing: str, item: Callable[[], _Item]) -> list[_Item]:
        self._mark(opening)
        items: list[_Item] = []
        while self._symbol != closing:
            items.append(item())
            if self._symbol != closing:
                self._mark(",")
        self._mark(closing)
        return items

    def _skip_brackets(self, opening: str, closing: str) -> None:
        self._mark(opening)
        while self._symbol != closing:
            self._next()
        self._next()

    def _name(self) -> str:
        if self._kind != "name":
            self._fail(f"a name is expected, got {self._symbol!r}")
        symbol = self._symbol
        self._next()
        return symbol

    def _word(self, word: str) -> None:
        if self._symbol != word:
            self._fail(f"{word!r} is expected, got {self._symbol!r}")
        self._next()

    _mark = _word

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEPTH:
            self._fail(f"types and values are nested more than {_DEPTH} deep")

    def _next(self) -> None:
        if self._kind == "end":
            self._fail("the text is cut off")
        match = _SYMBOL.match(self._text, self._at)
        if match is None:
            if self._text[self._at :].strip():
                self._fail(f"{self._text[self._at :].strip()[:20]!r} is not understood")
            self._kind, self._symbol = "end", "the end"
            return
        self._at = match.end()
        self._kind = match.lastgroup or ""
        self._symbol = match[self._kind]

    def _fail(self, problem: str) -> Never:
        raise self._problem(problem)

    def _problem(self, words: str) -> ModelError:
        line = self._text.count("\n", 0, self._at) + 1
        return ModelError(f"{self._file}, line {line}: {words}; the file is damaged, or of a dialect that is not known")

"""JSON on standard output: one document, which stays JSON on every console."""

import json
import sys

from sdrt.cli.console import say
from sdrt.printable import printable

__all__ = ["json_lines", "say_json"]


def json_lines(value: object, indent: int | None = None) -> list[str]:
    """Return the lines of a JSON document: with its own escapes where a character could not be shown.

    >>> json_lines({"name": "nano"})
    ['{"name": "nano"}']
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    lines = text.split("\n")
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    shown = text.encode(encoding, "ignore").decode(encoding) == text and all(printable(line, len(text) + 1) == line for line in lines)
    return lines if shown else json.dumps(value, indent=indent).split("\n")


def say_json(value: object) -> None:
    """Print a JSON document on standard output, a line for each value."""
    say(*json_lines(value, indent=1))

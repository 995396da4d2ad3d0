"""The tables of docs/apple-packages.md, as what a package of given sizes must have."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Array", "documented_arrays", "documented_kinds", "table"]

_DOCUMENT = Path(__file__).parents[2] / "docs" / "apple-packages.md"
_RESIDUALS = "additional_residual_0"


@dataclass(frozen=True, order=True)
class Array:
    """An input or output: its name, dtype, shape, and the dtype's code in the specification."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    code: int


def table(heading: str) -> list[dict[str, str]]:
    """Return the rows of the table below a heading, by column; marks of code are removed."""
    text = _DOCUMENT.read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    columns, _, *rows = [_cells(line) for line in section.splitlines() if line.startswith("|")]
    assert all(len(row) == len(columns) for row in rows), heading
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]


def documented_kinds() -> set[str]:
    """Return the kinds of packages: a role, with the family in brackets where it has other arrays."""
    return {row["package"] for row in table("Inputs and outputs")}


def documented_arrays(kind: str, sizes: Mapping[str, int], residuals: Sequence[tuple[int, ...]] = ()) -> tuple[list[Array], list[Array]]:
    """Return the inputs and outputs of a kind of package, in their order.

    Parameters
    ----------
    kind : str
        See `documented_kinds`.
    sizes : mapping
        The document's letters.
    residuals : sequence of shapes
    """
    found: dict[str, list[Array]] = {"in": [], "out": []}
    for row in table("Inputs and outputs"):
        if row["package"] == kind:
            dtype, code = row["dtype, code in the specification"].split(", ")
            first = row["array"].removesuffix(" and on")
            shapes = residuals if row["shape"] == "R" else [tuple(_size(each, sizes) for each in row["shape"].split(", "))]
            names = [f"additional_residual_{index}" for index in range(len(shapes))] if first == _RESIDUALS else [first]
            found[row["way"]] += [Array(name, dtype, shape, int(code)) for name, shape in zip(names, shapes, strict=True)]
    return found["in"], found["out"]


def _size(text: str, sizes: Mapping[str, int]) -> int:
    """Read a number, a letter, or a number before a letter.

    >>> _size("2Z", {"Z": 4})
    8
    """
    if text.isdecimal():
        return int(text)
    match = re.fullmatch(r"(\d*)([A-Za-z])", text)
    assert match is not None, text
    return int(match[1] or 1) * sizes[match[2]]

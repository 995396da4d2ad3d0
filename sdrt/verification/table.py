"""The table of golden digests that ships with sdrt."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from sdrt.verification.digests import total

__all__ = ["FILE", "Table", "read_table", "table_text"]

FILE = Path(__file__).with_name("golden.json")

# From a check's key to the digests of its stages, in their order.
Table: TypeAlias = Mapping[str, Mapping[str, str]]


def read_table(file: Path = FILE) -> Table:
    """Read the table."""
    return json.loads(file.read_text(encoding="utf-8"))["checks"]  # type: ignore[no-any-return]


def table_text(version: str, checks: Table) -> str:
    """Return the file of a table: one line for each check, so that a change of one is a change of one line."""
    sums = {key: total(dict(stages)) for key, stages in checks.items()}
    whole = total(sums)
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(stages, separators=(',', ':'))}" for key, stages in checks.items())
    return f'{{\n "sdrt": {json.dumps(version)},\n "sha256": "{whole}",\n "checks": {{\n{lines}\n }}\n}}\n'

"""The two kinds of files, with the same bytes for the same numbers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array

__all__ = ["write_arrays", "write_json"]


def write_json(file: Path, values: list[Any] | Mapping[str, Any]) -> None:
    """Write JSON, one entry of the outer list or mapping a line; numbers have as many digits as give them back exactly."""
    if isinstance(values, list):
        text = "[\n" + ",\n".join(map(_line, values)) + "\n]"
    else:
        text = "{\n" + ",\n".join(f"{_line(key)}:{_line(value)}" for key, value in values.items()) + "\n}"
    file.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_arrays(file: Path, arrays: Mapping[str, Array]) -> None:
    """Write safetensors."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(x) for name, x in arrays.items()}, file)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

"""Where a package computes what a module of diffusers gives: entries of ``sdrt.json`` that the converter writes and a trace reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from sdrt.arrays import Array
from sdrt.errors import ModelError

__all__ = ["TracedValue", "ValueLayout", "read_traced_values"]

# How a package lays a value out, from which diffusers' own layout follows: the same; [n, D, h, w] for [n, h*w, D]; [n, D, 1, 1] for [n, D];
# [n, k, D] for [n*k, D].
ValueLayout: TypeAlias = Literal["same", "sequence", "vector", "rows"]


@dataclass(frozen=True)
class TracedValue:
    """A value of a program.

    Parameters
    ----------
    name : str
        The program's name of it.
    layout : ValueLayout
    """

    name: str
    layout: ValueLayout = "same"

    def to_diffusers(self, value: Array) -> Array:
        """Bring the value to the layout of diffusers' module.

        >>> import numpy as np
        >>> TracedValue("x", "sequence").to_diffusers(np.zeros((2, 32, 1, 77))).shape
        (2, 77, 32)
        """
        match self.layout:
            case "sequence":
                return value.reshape(*value.shape[:2], -1).swapaxes(1, 2)
            case "vector":
                return value.reshape(value.shape[:2])
            case "rows":
                return value.reshape(-1, value.shape[-1])
        return value


def read_traced_values(file: Path, entries: Any) -> dict[str, TracedValue]:
    """Read what ``sdrt.json`` says of one package: module paths with [name, layout].

    Raises
    ------
    ModelError : it is damaged
    """
    if not isinstance(entries, Mapping) or not all(_is_entry(entry) for entry in entries.values()):
        raise ModelError(f"{file}: coreml.traces must hold [name, layout] for each module, got something else; convert the model again")
    return {path: TracedValue(*entry) for path, entry in entries.items()}


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and entry[1] in get_args(ValueLayout)

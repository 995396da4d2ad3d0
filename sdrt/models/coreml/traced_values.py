"""Where a package computes what a module of diffusers gives: entries of ``sdrt.json`` that the converter writes and a trace reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from sdrt.arrays import Array
from sdrt.errors import ModelError

__all__ = ["TracedValue", "ValueLayout", "read_traced_values", "store_traced_values"]

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


def read_traced_values(file: Path, stored: Any) -> dict[str, TracedValue]:
    """Read what ``sdrt.json`` says of one package.

    Parameters
    ----------
    file : Path
        For the message.
    stored : mapping
        Of each layout, module paths and the program's names.

    Raises
    ------
    ModelError : it is damaged
    """
    layouts = get_args(ValueLayout)
    if not isinstance(stored, Mapping) or not all(layout in layouts and _are_names(names) for layout, names in stored.items()):
        raise ModelError(f"{file}: coreml.traces must hold names by module path for each of {', '.join(layouts)}; convert the model again")
    return {path: TracedValue(name, layout) for layout, names in stored.items() for path, name in names.items()}


def store_traced_values(values: Mapping[str, TracedValue]) -> dict[str, dict[str, str]]:
    """Write what `read_traced_values` reads.

    >>> store_traced_values({"conv_in": TracedValue("x_1"), "mid_block.attentions.0.proj_in": TracedValue("x_2", "sequence")})
    {'same': {'conv_in': 'x_1'}, 'sequence': {'mid_block.attentions.0.proj_in': 'x_2'}}
    """
    stored: dict[str, dict[str, str]] = {}
    for path, value in values.items():
        stored.setdefault(value.layout, {})[path] = value.name
    return stored


def _are_names(names: Any) -> bool:
    return isinstance(names, Mapping) and all(isinstance(name, str) for name in names.values())

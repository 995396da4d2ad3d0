"""An ML Program as plain data, whatever file it came from: functions of blocks of operations over typed values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sdrt.arrays import Array

__all__ = [
    "Argument",
    "Blob",
    "Block",
    "Function",
    "ListType",
    "Operation",
    "Program",
    "TensorType",
    "TupleType",
    "Typed",
    "Value",
    "ValueType",
]


@dataclass(frozen=True, slots=True)
class TensorType:
    """An array: MIL's spelling of its element type, and its shape with None where a dimension is open; a scalar has shape ()."""

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join('*' if size is None else str(size) for size in self.shape)}]"

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape is one."""
        return len(shape) == len(self.shape) and all(want in (None, got) for want, got in zip(self.shape, shape, strict=True))


@dataclass(frozen=True, slots=True)
class ListType:
    """A list of values of one type."""

    element: "ValueType"


@dataclass(frozen=True, slots=True)
class TupleType:
    """Values of several types; dictionaries are tuples of their key and value types."""

    elements: tuple["ValueType", ...]


ValueType: TypeAlias = TensorType | ListType | TupleType


@dataclass(frozen=True, slots=True)
class Blob:
    """A tensor in a weight file: the path as the program writes it, and the offset of its record."""

    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class Value:
    """A constant: an array (of str for strings), a place in a weight file, or several values."""

    type: ValueType
    data: "Array | Blob | tuple[Value, ...]"


Argument: TypeAlias = str | Value
"""The name of a value that an operation made, or a constant written in place."""


@dataclass(frozen=True, slots=True)
class Typed:
    """The name and type of an input or output."""

    name: str
    type: ValueType


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; ``inputs`` holds one argument a parameter, or several where the parameter is a list."""

    type: str
    inputs: Mapping[str, tuple[Argument, ...]]
    outputs: tuple[Typed, ...]
    attributes: Mapping[str, Value] = field(default_factory=dict)
    blocks: tuple["Block", ...] = ()

    @property
    def name(self) -> str:
        """What it is known by: the name of its first output."""
        return self.outputs[0].name if self.outputs else "(no output)"

    def names(self) -> list[str]:
        """Return the names of the values that it reads itself; nested blocks read others."""
        return [argument for arguments in self.inputs.values() for argument in arguments if isinstance(argument, str)]


@dataclass(frozen=True, slots=True)
class Block:
    """Operations in order, and the names of what they give."""

    inputs: tuple[Typed, ...]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function that can be run."""

    name: str
    opset: str
    inputs: tuple[Typed, ...]
    block: Block


@dataclass(frozen=True, slots=True)
class Program:
    """All functions by name, and the file that they stand in."""

    file: str
    functions: Mapping[str, Function]

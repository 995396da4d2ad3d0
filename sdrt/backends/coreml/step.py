"""One step of a plan: an operation with its arguments looked up, or several operations that are computed as one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.constants import Constants
from sdrt.backends.coreml.ops import Operator
from sdrt.backends.coreml.place import Place
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.errors import ModelError
from sdrt.models.mlpackage.dtypes import FLOATS, NUMPY, largest_tensor_bytes
from sdrt.models.mlpackage.mil import Argument, Operation, TensorType

__all__ = ["Computation", "OperationStep", "Run", "check_outputs"]

_LARGEST = largest_tensor_bytes()


@dataclass(frozen=True, slots=True)
class Run:
    """What a computation has at hand.

    Parameters
    ----------
    values : mapping
        What inputs and earlier steps gave, by name; floats as float32.
    """

    constants: Constants
    team: ThreadTeam
    values: Mapping[str, Array]

    def get(self, argument: Argument) -> Array:
        """Return an argument's array."""
        if isinstance(argument, str) and argument in self.values:
            return self.values[argument]
        array = self.constants.argument(argument)
        if array is None:
            raise ModelError(f"the value {argument!r} is gone before its last use; this is a mistake of the executor, please report it")
        return array


class Computation(Protocol):
    """What a step computes."""

    @property
    def operation(self) -> Operation:
        """The operation whose outputs it gives; the last of several."""
        ...

    def names(self) -> list[str]:
        """List the values that it reads, constants included."""
        ...

    def compute(self, run: Run) -> tuple[Array, ...]:
        """One array for each output of the operation."""
        ...


@dataclass(frozen=True, slots=True)
class OperationStep:
    """One operation by its function of the table."""

    function: str
    operation: Operation
    operator: Operator

    def names(self) -> list[str]:
        return self.operation.names()

    def compute(self, run: Run) -> tuple[Array, ...]:
        arguments: dict[str, Any] = {}
        for name, given in self.operation.inputs.items():
            key = self.operator.renamed.get(name, name)
            arguments[key] = tuple(map(run.get, given)) if key in self.operator.lists else run.get(given[0])
        if self.operator.sizes is not None:
            self._check_size(self.operator.sizes(**arguments))
        result = self.operator.function(run.team, **arguments) if self.operator.team else self.operator.function(**arguments)
        return result if isinstance(result, tuple) else (result,)

    def _check_size(self, shape: tuple[int, ...]) -> None:
        """Refuse a result that is not as declared, or that no memory holds, before it is made."""
        declared = self.operation.outputs[0].type
        if isinstance(declared, TensorType) and not declared.admits(shape):
            raise ValueError(f"gives {list(shape)} where {declared} is declared")
        size = 4
        for count in shape:
            size *= count
        if size > _LARGEST:
            raise ValueError(f"its result of shape {list(shape)} takes {size} bytes, more than half of this machine's memory")


def check_outputs(place: Place, values: tuple[Array, ...], *, rounded: bool) -> tuple[Array, ...]:
    """Results as they are declared: shape and kind checked, float16 rounded if requested.

    Raises
    ------
    ModelError : a result is not as declared
    """
    outputs = place.operation.outputs
    if len(values) != len(outputs):
        raise ModelError(f"{place}: gives {len(values)} values where {len(outputs)} are declared; the model is damaged")
    return tuple(_checked(place, value, output.type, rounded) for value, output in zip(values, outputs, strict=True))


def _checked(place: Place, value: Array, declared: object, rounded: bool) -> Array:
    if not isinstance(declared, TensorType) or declared.dtype == "string":
        return value
    if not declared.admits(value.shape):
        raise ModelError(f"{place}: gives {list(value.shape)} where {declared} is declared; the model is damaged")
    if declared.dtype in FLOATS:
        if value.dtype.kind != "f":
            raise ModelError(f"{place}: gives {value.dtype} where {declared} is declared; the model is damaged")
        if rounded and declared.dtype == "fp16":
            return value.astype(np.float16).astype(np.float32)
        return value if value.dtype == np.float32 or declared.dtype == "fp64" else value.astype(np.float32)
    wanted = NUMPY[declared.dtype]
    if value.dtype == wanted:
        return value
    if value.dtype.kind == "f" or (value.dtype.kind == "b") != (wanted.kind == "b"):
        raise ModelError(f"{place}: gives {value.dtype} where {declared} is declared; the model is damaged")
    return value.astype(wanted)

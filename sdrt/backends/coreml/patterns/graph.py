"""The computations of a function as a graph that patterns are found in and replaced."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.constants import Constants
from sdrt.backends.coreml.step import Computation, OperationStep
from sdrt.models.mlpackage.dtypes import FLOATS
from sdrt.models.mlpackage.mil import Argument, Function, Operation, TensorType

__all__ = ["Graph", "equal_numbers", "first", "sizes", "without_float_casts"]


_Found = TypeVar("_Found")


class Graph:
    """Who makes and who uses each value.

    Parameters
    ----------
    function : Function
    constants : Constants
    computations : sequence of Computation
        In an order in which they can run.
    """

    def __init__(self, function: Function, constants: Constants, computations: Sequence[Computation]) -> None:
        self.constants = constants
        self._kept = set(function.block.outputs)
        self._makers: dict[str, Computation] = {}
        # by identity, since to compare computations takes as long as they are large; with how often each uses the value
        self._users: dict[str, dict[int, tuple[Computation, int]]] = {}
        self._order: dict[int, Computation] = {}
        self._place: dict[int, int] = {}
        for index, computation in enumerate(computations):
            self._enter(index, computation)

    def computations(self) -> list[Computation]:
        """List the remaining computations in order, without those whose values nobody uses."""
        for index in sorted(self._order, reverse=True):
            computation = self._order[index]
            names = [output.name for output in computation.operation.outputs]
            if names and not any(name in self._kept or self._users.get(name) for name in names):
                self._remove(computation)
        return [self._order[index] for index in sorted(self._order)]

    def each(self, kind: str) -> list[OperationStep]:
        """Plain operations of one type, in order, as they are now."""
        return [step for _, step in sorted(self._order.items()) if isinstance(step, OperationStep) and step.operation.type == kind]

    def maker(self, argument: Argument | None) -> Computation | None:
        """Find the step that makes a value; None for constants and inputs."""
        return self._makers.get(argument) if isinstance(argument, str) else None

    def operation(self, argument: Argument | None, kind: str) -> Operation | None:
        """Find the plain operation of this type that makes a value, or None."""
        step = self.maker(argument)
        return step.operation if isinstance(step, OperationStep) and step.operation.type == kind else None

    def users(self, name: str) -> list[Computation]:
        """List the steps that use a value, once for each use."""
        return [user for user, times in self._users.get(name, {}).values() for _ in range(times)]

    def user(self, name: str) -> Computation | None:
        """Find the only step that uses a value; None if there are several, or if the function returns it."""
        users = self._users.get(name, {})
        if len(users) != 1 or name in self._kept:
            return None
        [(user, times)] = users.values()
        return user if times == 1 else None

    def sole(self, name: str, kind: str) -> Operation | None:
        """Find the plain operation of this type that alone uses a value, or None."""
        step = self.user(name)
        return step.operation if isinstance(step, OperationStep) and step.operation.type == kind else None

    def only_in(self, name: str, members: Iterable[Operation]) -> bool:
        """Whether nothing but these operations uses a value."""
        names = {member.name for member in members}
        return name not in self._kept and all(user.operation.name in names for user, _ in self._users.get(name, {}).values())

    def scalar(self, argument: Argument | None) -> float | None:
        """Read a constant of one number, or None."""
        array = self.small(argument)
        return float(array.reshape(())) if array is not None and array.size == 1 and array.dtype.kind in "iuf" else None

    def small(self, argument: Argument | None) -> Array | None:
        """Read a constant's array, or None. For parameters, not for weights: the array is made."""
        return None if argument is None else self.constants.argument(argument)

    def attempt(self, match: Callable[["Graph", Operation], _Found | None], operation: Operation) -> _Found | None:
        """Return what ``match`` finds; None if an operation's parameters make no sense: that is an error with its place when it runs."""
        try:
            return match(self, operation)
        except (ValueError, TypeError, IndexError, KeyError):
            return None

    def replace(self, members: Iterable[Operation], by: Computation) -> None:
        """Take operations out, and put a computation where the last of them stood; it gives that one's outputs."""
        for member in members:
            self._remove(self._makers[member.name])
        self._enter(self._place[id(by.operation)], by)

    def _enter(self, index: int, computation: Computation) -> None:
        self._order[index] = computation
        self._place[id(computation.operation)] = index
        for output in computation.operation.outputs:
            self._makers[output.name] = computation
        for name in computation.names():
            users = self._users.setdefault(name, {})
            users[id(computation)] = (computation, users[id(computation)][1] + 1 if id(computation) in users else 1)

    def _remove(self, computation: Computation) -> None:
        del self._order[self._place[id(computation.operation)]]
        for output in computation.operation.outputs:
            self._makers.pop(output.name, None)
        for name in computation.names():
            user, times = self._users[name].pop(id(computation))
            if times > 1:
                self._users[name][id(computation)] = (user, times - 1)


def without_float_casts(function: Function, computations: Sequence[Computation]) -> list[Computation]:
    """Drop casts from float to float, which change nothing where float16 is ignored."""
    floats = {item.name for item in function.inputs if isinstance(item.type, TensorType) and item.type.dtype in FLOATS}
    for computation in computations:
        floats |= {out.name for out in computation.operation.outputs if isinstance(out.type, TensorType) and out.type.dtype in FLOATS}
    alias: dict[str, str] = {}
    kept: list[Computation] = []
    for computation in computations:
        operation = computation.operation
        source = operation.inputs.get("x", (None,))[0]
        idle = operation.type == "cast" and operation.name in floats and operation.name not in function.block.outputs
        if idle and isinstance(source, str) and source in floats:
            alias[operation.name] = alias.get(source, source)
            continue
        kept.append(_renamed(computation, alias))
    return kept


def _renamed(computation: Computation, alias: Mapping[str, str]) -> Computation:
    if not isinstance(computation, OperationStep) or not any(name in alias for name in computation.names()):
        return computation
    inputs = {
        key: tuple(alias.get(argument, argument) if isinstance(argument, str) else argument for argument in arguments)
        for key, arguments in computation.operation.inputs.items()
    }
    return replace(computation, operation=replace(computation.operation, inputs=inputs))


def sizes(operation: Operation | None) -> tuple[int | None, ...]:
    """Return the declared shape of an operation's first output; empty if there is none."""
    kind = operation.outputs[0].type if operation is not None and operation.outputs else None
    return kind.shape if isinstance(kind, TensorType) else ()


def first(operation: Operation, parameter: str) -> Argument | None:
    """Return an operation's argument, or None if it is left out."""
    given = operation.inputs.get(parameter, ())
    return given[0] if given else None


def equal_numbers(array: Array | None, wanted: Sequence[int]) -> bool:
    """Whether a constant holds exactly these whole numbers."""
    return array is not None and np.asarray(array).reshape(-1).tolist() == list(wanted)

"""Runs one function of an ML Program: its operations in order, each value freed after its last use."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.constants import Constants
from sdrt.backends.coreml.ops import OPERATIONS
from sdrt.backends.coreml.place import Place, failing
from sdrt.backends.coreml.step import Computation, OperationStep, Run, check_outputs
from sdrt.backends.numpy.blas import one_thread
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.errors import ModelError
from sdrt.models.mlpackage.dtypes import NUMPY, largest_tensor_bytes, size_of
from sdrt.models.mlpackage.mil import Function, Operation, TensorType

__all__ = ["Executor", "OpResult", "Precision", "plain_computations"]

Precision: TypeAlias = Literal["float32", "float16"]


@dataclass(frozen=True, slots=True)
class OpResult:
    """What one computation gave.

    Parameters
    ----------
    operation : Operation
        The last, where several were computed as one.
    values : tuple of arrays
        One for each of its outputs, floats as float32; to be read only, and gone from the run after their last use.
    """

    operation: Operation
    values: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class _Step:
    computation: Computation
    frees: tuple[str, ...]
    rounded: bool


class Executor:
    """One function, ready to run.

    Parameters
    ----------
    function : Function
    constants : Constants
    precision : "float32" or "float16"
    computations : sequence of Computation
        What to compute in order; see `plain_computations` and `sdrt.backends.coreml.patterns`.

    Raises
    ------
    ModelError : a value is used before it is made, made twice, or larger than this machine's memory
    """

    def __init__(self, function: Function, constants: Constants, precision: Precision, computations: Sequence[Computation]) -> None:
        self._function = function
        self._constants = constants
        self._steps = _with_frees(function, constants, computations, precision)

    @property
    def computations(self) -> tuple[Computation, ...]:
        """What a run computes, in order."""
        return tuple(step.computation for step in self._steps)

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs from all inputs, floats as float32 (or as float64 where a program has such).

        Raises
        ------
        ModelError : an operation cannot be computed, or gives something else than it declares
        """
        values = dict(inputs)
        run = Run(self._constants, team, values)
        with np.errstate(all="ignore"):
            for step in self._steps:
                self._advance(run, values, step)
        return {name: run.get(name) for name in self._function.block.outputs}

    def walk(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> Generator[OpResult, None, dict[str, Array]]:
        """Run like `run`, and hand out the results of each computation; two walks may go side by side.

        Returns
        -------
        generator of OpResult, whose value is what `run` gives

        Raises
        ------
        ModelError : as `run`
        """
        values = dict(inputs)
        run = Run(self._constants, team, values)
        for step in self._steps:
            # entered for each step alone: what a generator enters stays entered for its caller
            with one_thread(), np.errstate(all="ignore"):
                results = self._advance(run, values, step)
            yield OpResult(step.computation.operation, results)
        return {name: run.get(name) for name in self._function.block.outputs}

    def _advance(self, run: Run, values: dict[str, Array], step: _Step) -> tuple[Array, ...]:
        """Compute one step, and free what it used last."""
        operation = step.computation.operation
        place = Place(self._function.name, operation)
        with failing(place):
            results = step.computation.compute(run)
        results = check_outputs(place, results, rounded=step.rounded)
        for output, value in zip(operation.outputs, results, strict=True):
            values[output.name] = value
        for name in step.frees:
            values.pop(name, None)
        return results


def plain_computations(function: Function, constants: Constants) -> list[Computation]:
    """Every operation by itself.

    Raises
    ------
    ModelError : an operation is unknown, or called with parameters that it does not have
    """
    return [_computation(function, operation) for operation in function.block.operations if operation.name not in constants]


def _computation(function: Function, operation: Operation) -> Computation:
    place = Place(function.name, operation)
    if operation.type not in OPERATIONS:
        raise ModelError(f"{place}: this operation is not supported; {len(OPERATIONS)} are, none of them random or stateful")
    operator = OPERATIONS[operation.type]
    if operation.blocks:
        raise ModelError(f"{place}: has blocks, which this operation has not; the model is damaged")
    given = {operator.renamed.get(name, name) for name in operation.inputs}
    if unknown := given - operator.parameters:
        raise ModelError(f"{place}: has no parameter {', '.join(sorted(unknown))}; it has {', '.join(sorted(operator.parameters))}")
    if missing := operator.required - given:
        raise ModelError(f"{place}: lacks {', '.join(sorted(missing))}; the model is damaged")
    for name, arguments in operation.inputs.items():
        if not arguments or (len(arguments) > 1 and operator.renamed.get(name, name) not in operator.lists):
            raise ModelError(f"{place}: {name} has {len(arguments)} values; the model is damaged")
    _check_declared(place)
    return OperationStep(function.name, operation, operator)


def _check_declared(place: Place) -> None:
    limit = largest_tensor_bytes()
    for output in place.operation.outputs:
        if isinstance(output.type, TensorType) and output.type.dtype in NUMPY:
            known = tuple(size for size in output.type.shape if size is not None)
            if size_of(known) * NUMPY[output.type.dtype].itemsize > limit:
                raise ModelError(f"{place}: declares {output.type}, more than half of this machine's memory; the model is damaged")


def _with_frees(function: Function, constants: Constants, computations: Sequence[Computation], precision: Precision) -> tuple[_Step, ...]:
    known = {item.name for item in function.inputs}
    _check_order(function, constants, computations, known)
    last: dict[str, int] = {}
    for index, computation in enumerate(computations):
        for name in (*computation.names(), *(output.name for output in computation.operation.outputs)):
            last[name] = index
    kept = set(function.block.outputs)
    frees: list[list[str]] = [[] for _ in computations]
    for name, index in last.items():
        if name not in kept and name not in constants:
            frees[index].append(name)
    return tuple(
        _Step(computation, tuple(gone), precision == "float16" and not OPERATIONS[computation.operation.type].moves)
        for computation, gone in zip(computations, frees, strict=True)
    )


def _check_order(function: Function, constants: Constants, computations: Iterable[Computation], known: set[str]) -> None:
    """Each value is made once, before it is used: a program that breaks this has a cycle, or lacks something."""
    made = set(known)
    for computation in computations:
        place = Place(function.name, computation.operation)
        for name in computation.names():
            if name not in made and name not in constants:
                raise ModelError(f"{place}: uses {name!r}, which nothing before it makes; the model is damaged")
        for output in computation.operation.outputs:
            if output.name in made or output.name in constants:
                raise ModelError(f"{place}: makes {output.name!r} a second time; the model is damaged")
            made.add(output.name)
    if missing := [name for name in function.block.outputs if name not in made and name not in constants]:
        raise ModelError(f"function {function.name!r}: gives {', '.join(missing)}, which nothing makes; the model is damaged")

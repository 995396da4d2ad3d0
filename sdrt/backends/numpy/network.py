"""One face for every network of this backend: binding, closing, and the threads that a call may use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np

from sdrt.arrays import Array, Signature
from sdrt.backends.numpy.blas import one_thread
from sdrt.backends.numpy.team import Team
from sdrt.errors import ArrayContractError, BackendError
from sdrt.models.components import ComponentName

__all__ = ["NumpyNetwork", "OneByOne", "Program"]


class Program(Protocol):
    """What a network computes, on arrays of the signature."""

    def run(self, team: Team, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs from all inputs."""
        ...


@dataclass(frozen=True)
class OneByOne:
    """A program run on each row of its inputs alone, so that its workspaces hold one row."""

    program: Program

    def run(self, team: Team, inputs: Mapping[str, Array]) -> dict[str, Array]:
        rows = len(next(iter(inputs.values())))
        # no row at all is the program's own business
        found = [self.program.run(team, {name: x[row : row + 1] for name, x in inputs.items()}) for row in range(max(1, rows))]
        return {name: np.concatenate([outputs[name] for outputs in found]) for name in found[0]}


@runtime_checkable
class Bindable(Protocol):
    """A program of which a part depends on some of the inputs alone."""

    def with_constants(self, team: Team, constants: Mapping[str, Array]) -> Program:
        """The same program with that part computed from all that is fixed so far; it is given these inputs again when it runs."""
        ...


class NumpyNetwork:
    """A network of the numpy backend; see `sdrt.backends.base.Network`.

    Closing a network gives the weights back and ends those bound from it; closing a bound one ends only that.
    """

    def __init__(self, component: ComponentName, signature: Signature, program: Program, team: Team) -> None:
        self._component = component
        self._signature = signature
        self._team = team
        self._program: Program | None = program
        self._constants: dict[str, Array] = {}
        self._parent: NumpyNetwork | None = None

    @property
    def signature(self) -> Signature:
        """Names, dtypes and shapes of what it takes and gives, bound inputs included."""
        return self._signature

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run once on every input that is not bound.

        Raises
        ------
        BackendError : the network is closed
        ArrayContractError : an input is missing, unknown or bound already
        """
        program = self._open_program()
        wanted = {name for name in self._signature.input_names() if name not in self._constants}
        optional = {name for name in self._signature.optional_names() if name not in self._constants}
        self._check_names(inputs, wanted | optional if optional & inputs.keys() else wanted)
        with one_thread(), np.errstate(over="ignore", under="ignore"):
            return program.run(self._team, self._ordered(self._constants | inputs))

    def bind(self, **constants: Array) -> Self:
        """The same network with some inputs fixed, as copies; what they alone decide (keys and values of a condition) is computed here.

        Raises
        ------
        BackendError : the network is closed
        ArrayContractError : an input is unknown or bound already, or only some of the optional ones are given
        """
        program = self._open_program()
        known = set(self._signature.input_names()) - self._constants.keys()
        optional = set(self._signature.optional_names()) - self._constants.keys()
        self._check_names(constants, known & constants.keys() | (optional if optional & constants.keys() else set()))
        fixed = self._ordered(self._constants | {name: x.copy() for name, x in constants.items()})
        if isinstance(program, Bindable):
            with one_thread(), np.errstate(over="ignore", under="ignore"):
                program = program.with_constants(self._team, fixed)
        bound = type(self)(self._component, self._signature, program, self._team)
        bound._constants, bound._parent = fixed, self
        return bound

    def close(self) -> None:
        """Give the memory back; twice is fine."""
        self._program = None
        if self._parent is None:
            self._team.close()

    def _open_program(self) -> Program:
        if self._program is None:
            raise BackendError(f"{self._component}: this network is closed; open the model again to use it")
        if self._parent is not None:
            self._parent._open_program()
        return self._program

    def _ordered(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        names = (*self._signature.input_names(), *self._signature.optional_names())
        return {name: inputs[name] for name in names if name in inputs}

    def _check_names(self, inputs: Mapping[str, Array], wanted: set[str]) -> None:
        if inputs.keys() != wanted:
            bound = f" ({', '.join(self._constants)} bound)" if self._constants else ""
            takes = ", ".join(name for name in self._signature.input_names() if name not in self._constants)
            if optional := self._signature.optional_names():
                takes += f", and all or none of {optional[0]} to {optional[-1]}"
            raise ArrayContractError(f"{self._component} input: takes {takes}{bound}; got {', '.join(inputs) or 'nothing'}")

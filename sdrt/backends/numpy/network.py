"""A program of this backend as a network of the contract."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from sdrt.arrays import Array, Signature
from sdrt.backends.binding import BoundNetwork
from sdrt.backends.numpy.blas import one_thread
from sdrt.backends.numpy.team import Team

__all__ = ["NumpyNetwork", "PerRow", "Program"]


class Program(Protocol):
    """What a network computes, on arrays of the signature."""

    def run(self, team: Team, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs from all inputs."""
        ...


@dataclass(frozen=True)
class PerRow:
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


class NumpyNetwork(BoundNetwork):
    """A program behind the contract, with the threads that a call may use."""

    def __init__(self, component: str, signature: Signature, program: Program, team: Team) -> None:
        super().__init__(component, signature)
        self._program, self._team = program, team

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with one_thread(), np.errstate(over="ignore", under="ignore"):
            return self._program.run(self._team, inputs)

    def _bind(self, constants: Mapping[str, Array]) -> None:  # noqa: ARG002 a program computes from all that is fixed so far
        if isinstance(self._program, Bindable):
            with one_thread(), np.errstate(over="ignore", under="ignore"):
                self._program = self._program.with_constants(self._team, self._constants)

    def _release(self) -> None:
        del self._program
        if self._parent is None:
            self._team.close()

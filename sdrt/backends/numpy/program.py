"""What a network of this backend computes, apart from the contract around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.component_options import ComponentOptions
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["Adjustable", "Bindable", "PerRow", "Program"]


class Program(Protocol):
    """What a network computes, on arrays of the signature."""

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs from all inputs."""
        ...


@dataclass(frozen=True)
class PerRow:
    """A program run on each row of its inputs alone, so that its workspaces hold one row."""

    program: Program

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        rows = len(next(iter(inputs.values())))
        # no row at all is the program's own business
        per_row = [self.program.run(team, {name: x[row : row + 1] for name, x in inputs.items()}) for row in range(max(1, rows))]
        return {name: np.concatenate([outputs[name] for outputs in per_row]) for name in per_row[0]}


@runtime_checkable
class Bindable(Protocol):
    """A program of which a part depends on some of the inputs alone."""

    def with_constants(self, team: ThreadTeam, constants: Mapping[str, Array]) -> Program:
        """Return the same program with that part computed from all that is fixed so far; it is given these inputs again when it runs."""
        ...


@runtime_checkable
class Adjustable(Protocol):
    """A program that options of its component change; one as it was loaded has none."""

    def with_options(self, options: ComponentOptions) -> Program:
        """Return the program that these options make of it, with the same weights."""
        ...

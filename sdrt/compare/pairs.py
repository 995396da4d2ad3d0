"""The network calls of two runs, each with its counterpart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sdrt.arrays import Array
from sdrt.compare.runs import Run
from sdrt.errors import ConfigError
from sdrt.recordings import Event

__all__ = ["CallPair", "paired_calls"]


@dataclass(frozen=True, eq=False)
class CallPair:
    """Calls of one network at one place in both runs: one each, or as many as each side needed for the same rows.

    Parameters
    ----------
    runs : pair of Run
    events : pair of sequences of Event
    """

    runs: tuple[Run, Run]
    events: tuple[Sequence[Event], Sequence[Event]]

    @property
    def event(self) -> Event:
        """The first run's first call."""
        return self.events[0][0]

    @cached_property
    def outputs(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """The outputs of both, row by row of the same inputs."""
        ours, theirs = (_stacked([run.outputs(event) for event in events]) for run, events in self._sides)
        return self._aligned(ours, theirs)

    @cached_property
    def inputs(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """The inputs of both, likewise.

        Raises
        ------
        ConfigError : a recording does not hold them
        """
        return self._aligned(*self._own_inputs)

    @property
    def _sides(self) -> tuple[tuple[Run, Sequence[Event]], tuple[Run, Sequence[Event]]]:
        return (self.runs[0], self.events[0]), (self.runs[1], self.events[1])

    @cached_property
    def _own_inputs(self) -> tuple[dict[str, Array], dict[str, Array]]:
        ours, theirs = (_stacked([run.inputs(event) for event in events]) for run, events in self._sides)
        return ours, theirs

    def _aligned(self, ours: dict[str, Array], theirs: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the rows that both have: diffusers encodes prompt and negative prompt in a call each, and sdrt in one."""
        if len(self.events[0]) == len(self.events[1]):
            return ours, theirs
        rows = _same_rows(*self._own_inputs)
        if not rows:
            raise ConfigError(f"both sides' {self.event.component} must be called with the same rows, got none; take models of one family")
        left, right = ([pair[k] for pair in rows] for k in (0, 1))
        return {name: x[left] for name, x in ours.items()}, {name: x[right] for name, x in theirs.items()}


def paired_calls(a: Run, b: Run) -> Iterator[CallPair]:
    """Yield the calls of both runs in the order of the first.

    Raises
    ------
    ConfigError : the second never calls a network that the first calls
    """
    for key, ours in a.calls.items():
        theirs = b.calls.get(key)
        if theirs is None:
            raise ConfigError(f"both sides must call the same networks, got a {key[0]} of {a.name} alone; take models of one family")
        if len(ours) == len(theirs):
            yield from (CallPair((a, b), ((one,), (other,))) for one, other in zip(ours, theirs, strict=True))
        else:
            yield CallPair((a, b), (ours, theirs))


def _stacked(calls: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    if len(calls) == 1:
        return dict(calls[0])
    return {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}


def _same_rows(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> list[tuple[int, int]]:
    """Return the rows of one whose inputs are those of a row of the other."""
    names = [name for name in ours if name in theirs and ours[name].shape[1:] == theirs[name].shape[1:]]
    count, other = (len(next(iter(inputs.values()))) for inputs in (ours, theirs))
    pairs = []
    for row in range(count):
        same = (k for k in range(other) if all(np.array_equal(ours[name][row], theirs[name][k]) for name in names))
        if names and (found := next(same, None)) is not None:
            pairs.append((row, found))
    return pairs

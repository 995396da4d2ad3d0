"""One run of a recording, as comparisons read it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sdrt.arrays import U8, Array
from sdrt.errors import ConfigError, RecordingError
from sdrt.recordings import Event, Recording

__all__ = ["Run", "first_run"]


def first_run(recording: Recording) -> int:
    """Return the number of a recording's first run."""
    begin = recording.events(None, "begin")
    return begin[0].run if begin else 0


_INPUT, _OUTPUT, _PICTURE = "input.", "output.", "picture."


@dataclass(frozen=True, eq=False)
class Run:
    """One run.

    Parameters
    ----------
    name : str
        Of the side, for messages.
    recording : Recording
    """

    name: str
    recording: Recording

    @cached_property
    def number(self) -> int:
        """The number of the recording's first run, which is its only one where the caller chose one."""
        return first_run(self.recording)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """Network calls and steps, in their order."""
        return tuple(event for event in self.recording.events(self.number) if event.kind in ("network", "step"))

    @cached_property
    def steps(self) -> tuple[Event, ...]:
        """The steps of the loop."""
        return tuple(event for event in self.events if event.kind == "step")

    @cached_property
    def calls(self) -> Mapping[tuple[str, int | None], tuple[Event, ...]]:
        """Network calls by component and step."""
        found: dict[tuple[str, int | None], list[Event]] = {}
        for event in self.events:
            if event.component is not None:
                found.setdefault((event.component, event.step), []).append(event)
        return {key: tuple(events) for key, events in found.items()}

    @property
    def beginning(self) -> Event:
        return self.recording.beginning(self.number)

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """The settings as they were recorded; empty where whoever wrote the recording knew none."""
        settings = self.beginning.values.get("settings")
        return settings if isinstance(settings, Mapping) else {}

    def arrays(self, event: Event, *names: str) -> dict[str, Array]:
        """Return the arrays of an event, all of them or those of these names."""
        return self.recording.arrays(event, names or None)

    def inputs(self, event: Event) -> dict[str, Array]:
        """Return the inputs of a network call by name.

        Raises
        ------
        ConfigError : the recording does not hold them
        """
        names = [name for name in event.arrays if name.startswith(_INPUT)]
        held = self.recording.arrays(event, names)
        if len(held) < len(names):
            raise ConfigError(
                f"{self.name}: must hold the inputs of its networks to be compared call by call, got keep={self.keep!r}; "
                "record it with keep='all'"
            )
        return {name.removeprefix(_INPUT): x for name, x in held.items()}

    def outputs(self, event: Event) -> dict[str, Array]:
        """Return the outputs of a network call by name."""
        held = self.recording.arrays(event, [name for name in event.arrays if name.startswith(_OUTPUT)])
        return {name.removeprefix(_OUTPUT): x for name, x in held.items()}

    @property
    def keep(self) -> str:
        """Which arrays the recording holds."""
        return str(self.recording.header.get("keep", "all"))

    def pictures(self) -> Iterator[U8]:
        """Yield the pictures, u8[H,W,3]."""
        end = self.recording.events(self.number, "end")
        if end:
            held = self.recording.arrays(end[-1], [name for name in end[-1].arrays if name.startswith(_PICTURE)])
            yield from (held[f"{_PICTURE}{k}"] for k in range(len(held)))

    def check(self) -> None:
        """Raise unless the run is whole, and its arrays are there.

        Raises
        ------
        RecordingError : the file is cut, or the run did not finish
        ConfigError : it holds hashes alone
        """
        if self.recording.lost is not None:
            raise RecordingError(self.recording.lost)
        if (outcome := self.recording.outcome(self.number)) != "finished":
            raise RecordingError(f"{self.name}: must hold a run that finished to be compared, got one that is {outcome}; record it again")
        if self.keep == "hashes":
            raise ConfigError(f"{self.name}: must hold arrays to be compared, got keep='hashes'; record it with keep='all'")

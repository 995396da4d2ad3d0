"""Read a recording: every entry against its SHA-256, and what is whole of a file that was cut or altered."""

import hashlib
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sdrt.arrays import Array
from sdrt.errors import RecordingError
from sdrt.files import file_size, open_file, read_range, user_path
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.printable import shown
from sdrt.recordings.contents import Contents, read_contents
from sdrt.recordings.event import Event, EventKind
from sdrt.recordings.tensors import ArraySpec, array_bytes, read_tensors
from sdrt.recordings.zip_reader import COMMENT
from sdrt.records.settings import Settings
from sdrt.values import Number

if TYPE_CHECKING:
    from sdrt.backends import Backend

__all__ = ["Recording"]

_BLOCK = 1 << 20


class Recording:
    """A recording on disk; :meth:`open` makes one.

    Its events are in memory, and its arrays are read when they are asked for. A file that was cut or altered gives the events before the
    damage; `lost` says what is wrong with it.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, path: Path, contents: Contents) -> None:
        self.path = path
        self._contents = contents

    @classmethod
    def open(cls, path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Self:
        """Open a recording, or what a writer that was killed left of one (``.part``).

        Parameters
        ----------
        path : path
        limits : Limits
            Of which ``json_bytes`` counts here.

        Raises
        ------
        MissingFileError, ModelError : the file is not there, or no regular file
        RecordingError : it does not begin as a recording, or a newer sdrt wrote it
        """
        file = user_path("path", path)
        return cls(file, read_contents(file, limits))

    # ---- what it holds

    @property
    def header(self) -> Mapping[str, Any]:
        """What the file says of itself: format, version, keep, writer, machine, model."""
        return self._contents.header

    @property
    def runs(self) -> tuple[int, ...]:
        """The numbers of its runs: from 0, but for a part of a recording."""
        return tuple(sorted(self._by_run))

    @property
    def complete(self) -> bool:
        """Whether the writer finished the file and nothing is known to be wrong with it; :meth:`verify` reads the arrays too."""
        return self._contents.lost is None

    @property
    def lost(self) -> str | None:
        """What is wrong with the file, and the first step that is lost; None where it is complete."""
        return self._contents.lost

    def events(self, run: int | None = 0, kind: EventKind | None = None, component: str | None = None) -> tuple[Event, ...]:
        """Return events in their order.

        Parameters
        ----------
        run : int or None
            None: of all runs.
        kind : "begin", "noise", "network", "step", "end" or None
        component : str or None
            Of network calls.
        """
        of_run = self._contents.events if run is None else self._by_run.get(run, ())
        return tuple(event for event in of_run if kind in (None, event.kind) and component in (None, event.component))

    def settings(self, run: int = 0) -> Settings:
        """Return the settings of a run.

        Raises
        ------
        RecordingError : the recording has no such run, or whoever wrote it knew none
        ConfigError : as ``Settings.from_dict``
        """
        record = self.beginning(run).values.get("settings")
        if not isinstance(record, Mapping):
            raise RecordingError(f"{self.path}: run {run} must have settings, got {shown(record)}; ask for its events alone")
        return Settings.from_dict(record)

    def beginning(self, run: int = 0) -> Event:
        """Return the event with which a run begins.

        Raises
        ------
        RecordingError : there is no such run, or the recording has none as it is damaged
        """
        if begin := self.events(run, "begin"):
            return begin[0]
        if not self.runs:
            # whose beginning may be there, and altered: which says more
            self.verify()
        raise RecordingError(f"{self.path}: has no beginning of run {shown(run)}; its runs are {shown(list(self.runs))}")

    def outcome(self, run: int = 0) -> str:
        """Return how a run ended: "finished", "cancelled", "failed", or "unknown" where its end is not in the file."""
        end = self.events(run, "end")
        return str(end[-1].values.get("outcome", "unknown")) if end else "unknown"

    def only(self, run: int) -> "Recording":
        """Return the same recording with the events of one run alone, which keeps its number.

        Raises
        ------
        RecordingError : there is no such run
        """
        self.beginning(run)
        return Recording(self.path, replace(self._contents, events=self.events(run)))

    def backend(self, *, tolerance: float = 0.0) -> "Backend":
        """Return a backend whose networks answer the recorded calls, in any order, without weights.

        Parameters
        ----------
        tolerance : float, at least 0
            How far each number of a call may be from the recorded call that answers it. 0: the same bytes.
        """
        from sdrt.recordings.backend import RecordingBackend

        return RecordingBackend(self, tolerance=Number(0.0).check("tolerance", tolerance))

    # ---- arrays

    def arrays(self, event: Event, names: Collection[str] | None = None) -> dict[str, Array]:
        """Read the arrays of an event that the file holds, each checked against its SHA-256.

        Parameters
        ----------
        event : Event
            One of this recording's.
        names : collection of str or None
            Those to read; None: all.

        Returns
        -------
        dict of read-only arrays by name; those of which only the SHA-256 was kept are left out

        Raises
        ------
        RecordingError : an entry is altered or missing
        """
        wanted = {name: spec for name, spec in event.arrays.items() if spec.entry is not None and (names is None or name in names)}
        tensors = {entry: self._tensors(entry, event) for entry in dict.fromkeys(spec.entry for spec in wanted.values() if spec.entry)}
        return {name: self._checked(name, spec, tensors[str(spec.entry)], event) for name, spec in wanted.items()}

    def file(self, name: str) -> bytes:
        """Return the bytes of another entry of the file.

        Raises
        ------
        RecordingError : it is altered or missing
        """
        return self._content(name, "no step is lost")

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the entries that are no events."""
        return tuple(name for name in self._contents.entries if not name.startswith("events/"))

    def verify(self) -> None:
        """Hold every byte of the file against its SHA-256.

        Raises
        ------
        RecordingError : the file is cut or altered; the message names what is, and the first step that is lost
        """
        if self.lost is not None:
            raise RecordingError(self.lost)
        first_use = {spec.entry: event.place for event in reversed(self._contents.events) for spec in event.arrays.values() if spec.entry}
        for name in self._contents.entries:
            self._check_entry(name, f"the first that is lost is {first_use[name]}" if name in first_use else "no step is lost")
        size = file_size(self.path)
        sha256 = hashlib.sha256()
        for block in self._blocks(0, size - COMMENT):
            sha256.update(block)
        if read_range(self.path, size - COMMENT, COMMENT) != sha256.hexdigest().encode():
            raise RecordingError(f"{self.path}: its zip headers or its last line are altered; no step is lost; record it again")

    @cached_property
    def _by_run(self) -> Mapping[int, Sequence[Event]]:
        runs: dict[int, list[Event]] = {}
        for event in self._contents.events:
            runs.setdefault(event.run, []).append(event)
        return runs

    # ---- the bytes

    def _tensors(self, entry: str, event: Event) -> dict[str, Array]:
        return read_tensors(self._content(entry, f"it holds arrays of {event.place}"), f"{self.path}: {entry}")

    def _content(self, name: str, lost: str) -> bytes:
        where = self._contents.entries.get(name)
        if where is None:
            raise RecordingError(f"{self.path}: {shown(name)} is missing; {lost}; record it again")
        content = read_range(self.path, where.begin, where.size)
        sha256 = self._contents.sha256.get(name)
        if zlib.crc32(content) != where.crc or sha256 not in (None, hashlib.sha256(content).hexdigest()):
            raise RecordingError(f"{self.path}: {name} is altered; {lost}; record it again")
        return content

    def _checked(self, name: str, spec: ArraySpec, tensors: Mapping[str, Array], event: Event) -> Array:
        x = tensors.get(str(spec.key))
        if x is None or (x.dtype.name, x.shape) != (spec.dtype, spec.shape) or hashlib.sha256(array_bytes(x)).hexdigest() != spec.sha256:
            raise RecordingError(
                f"{self.path}: {event.name}: {shown(name)} must be {spec} with SHA-256 {spec.sha256[:12]}, and {spec.entry} has another "
                f"{shown(spec.key)}; it is of {event.place}; record it again"
            )
        return x

    def _check_entry(self, name: str, lost: str) -> None:
        """Hold an entry against its SHA-256, a block at a time."""
        entry, sha256 = self._contents.entries[name], hashlib.sha256()
        if (wanted := self._contents.sha256.get(name)) is None:
            return
        for block in self._blocks(entry.begin, entry.size):
            sha256.update(block)
        if sha256.hexdigest() != wanted:
            raise RecordingError(f"{self.path}: {name} is altered; {lost}; record it again")

    def _blocks(self, begin: int, size: int) -> Iterator[bytes]:
        with open_file(self.path) as stream:
            stream.seek(begin)
            while size > 0 and (block := stream.read(min(size, _BLOCK))):
                yield block
                size -= len(block)

    def __repr__(self) -> str:
        state = "" if self.complete else ", not complete"
        return f"Recording({str(self.path)!r}, {len(self.runs)} runs, {len(self._contents.events)} events{state})"

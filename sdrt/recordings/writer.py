"""Write a recording: a header, one event after the other as it happens, and an index at the end.

What one event takes of memory is gone when the next one comes; what grows is the index, with two lines for each event. An array that the
file has already is not written again: the sample after a step is the sample before the next one.
"""

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, TypeAlias, get_args

from sdrt.arrays import Array
from sdrt.errors import RecordingError
from sdrt.files import user_path
from sdrt.recordings.event import Event, EventKind, event_name
from sdrt.recordings.recognition import HEADER
from sdrt.recordings.tensors import ArraySpec, spec_of, tensor_pieces
from sdrt.recordings.zip_writer import Piece, ZipWriter
from sdrt.values import Choice

__all__ = ["FORMAT", "INDEX", "NAME", "Keep", "RecordingWriter"]

# What the header says, and the number that grows when a reader of this version would misread a file.
NAME, FORMAT = "sdrt recording", 1
INDEX = "index.json"

# Which arrays are in the file; of the others the SHA-256 is.
Keep: TypeAlias = Literal["all", "outputs", "hashes"]


class RecordingWriter:
    """Write one file; several threads may add events.

    The file has a temporary name beside its own until it is closed; a writer that is killed leaves it, and `Recording` reads it.

    Parameters
    ----------
    path : path
    header : mapping
        What the file says of itself beside its format: JSON.
    keep : "all", "outputs" or "hashes"
        Which arrays to keep: all of them, all but the inputs of networks, or none. Of the others the SHA-256 is in the file.
    files : mapping from name to bytes
        Further entries, before the first event.

    Raises
    ------
    RecordingError : the file cannot be written
    """

    def __init__(
        self, path: str | Path, header: Mapping[str, Any], *, keep: Keep = "all", files: Mapping[str, bytes] | None = None
    ) -> None:
        self.keep: Keep = Choice(*get_args(Keep)).check("keep", keep)
        self.path = user_path("path", path)
        try:
            self._part = self.path.with_name(f"{self.path.name[:100]}.{secrets.token_hex(4)}.part")
            self._stream: BinaryIO = self._part.open("xb")
        except (OSError, ValueError) as error:
            raise self._refused(error) from None
        self._zip = ZipWriter(self._stream)
        self._lock = Lock()
        self._closed = False
        self._entries: dict[str, dict[str, Any]] = {}
        self._kept: dict[tuple[str, tuple[int, ...], str], ArraySpec] = {}
        self._num_events = 0
        self._add(HEADER, [_json({"format": NAME, "version": FORMAT, "keep": self.keep, **header})])
        for name, content in (files or {}).items():
            self._add(name, [content])

    def add(
        self,
        kind: EventKind,
        run: int,
        arrays: Mapping[str, Array],
        values: Mapping[str, Any] | None = None,
        *,
        step: int | None = None,
        component: str | None = None,
    ) -> None:
        """Write an event.

        Raises
        ------
        RecordingError : the file cannot be written, or is closed
        """
        specs = {name: spec_of(name, x) for name, x in arrays.items()}
        with self._lock:
            name = event_name(self._num_events)
            entry = f"{name}.safetensors"
            own: dict[str, Array] = {}
            for key, spec in specs.items():
                if not self._keeps(key):
                    continue
                if spec.identity not in self._kept:
                    self._kept[spec.identity] = ArraySpec(*spec.identity, entry, key)
                    own[key] = arrays[key]
                specs[key] = self._kept[spec.identity]
            event = Event(kind, run, step, component, specs, dict(values or {}), name)
            if own:
                self._add(entry, tensor_pieces(own))
            # behind its arrays: an event whose JSON is there is whole
            self._add(f"{name}.json", [event.to_json()], kind=kind, run=run, step=step, component=component)
            self._num_events += 1

    @property
    def num_events(self) -> int:
        """How many events it has written."""
        return self._num_events

    @property
    def closed(self) -> bool:
        """Whether it takes no more events: it was closed, or could not be written."""
        return self._closed

    def close(self) -> None:
        """Write the index and the directory, and give the file its name; closing twice is fine."""
        with self._lock:
            if self._closed:
                return
            self._add(INDEX, [_json({"num_events": self._num_events, "entries": self._entries})])
            self._closed = True
            try:
                self._zip.close()
                self._stream.close()
                self._part.replace(self.path)
            except OSError as error:
                self.abandon()
                raise self._refused(error) from None

    def abandon(self) -> None:
        """Leave the file as it is under its temporary name."""
        self._closed = True
        # a disk that is full refuses what is still to be written too, which whoever met it has said
        with suppress(OSError):
            self._stream.close()

    def discard(self) -> None:
        """Remove the file."""
        self.abandon()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _keeps(self, name: str) -> bool:
        return self.keep == "all" or (self.keep == "outputs" and not name.startswith("input."))

    def _add(self, name: str, pieces: list[Piece], **about: Any) -> None:
        if self._closed:
            raise RecordingError(f"{self.path}: a recording must be open to take an event, got a closed one; record in its context")
        try:
            sha256 = self._zip.add(name, pieces)
        except OSError as error:
            # what is written already stays readable, and nothing comes behind a broken entry
            self.abandon()
            raise self._refused(error) from None
        self._entries[name] = {"size": sum(map(len, pieces)), "sha256": sha256} | about

    def _refused(self, error: OSError | ValueError) -> RecordingError:
        reason = error.strerror or error if isinstance(error, OSError) else "no file can have this name"
        return RecordingError(f"{self.path}: cannot be written ({reason}); choose another place")


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()

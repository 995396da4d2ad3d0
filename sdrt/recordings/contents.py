"""Open a recording: its header, its index and its events, as far as the file is whole, and what is lost of it."""

import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from sdrt.errors import RecordingError
from sdrt.files import check_given, open_file
from sdrt.json_text import parse_json
from sdrt.limits import Limits
from sdrt.printable import shown
from sdrt.recordings.event import Event, event_name, read_event, whereabouts
from sdrt.recordings.recognition import HEADER
from sdrt.recordings.tensors import is_sha256
from sdrt.recordings.writer import FORMAT, INDEX, NAME
from sdrt.recordings.zip_reader import check_directory, scan
from sdrt.recordings.zip_writer import StoredEntry

__all__ = ["Contents", "read_contents"]

_REPAIR = "record it again"


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Parameters
    ----------
    header : mapping
    entries : mapping from name to StoredEntry
        The whole ones.
    sha256 : mapping from name to str
        As the index has it; empty where the file has none.
    events : tuple of Event
        Up to the first that is not whole.
    lost : str or None
        What is wrong with the file, and the first step that is lost.
    """

    header: Mapping[str, Any]
    entries: Mapping[str, StoredEntry]
    sha256: Mapping[str, str]
    events: tuple[Event, ...]
    lost: str | None


@dataclass(frozen=True)
class _Index:
    """What the last entry says of the others.

    Parameters
    ----------
    lines : mapping from name to mapping
        The size and SHA-256 of each entry, and where each event stands.
    num_events : int or None
        None where there is no index, or one that cannot be used.
    problem : str
    """

    lines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    num_events: int | None = None
    problem: str = ""

    def place(self, number: int) -> str | None:
        """Say where an event stands; None where the index does not say."""
        line = self.lines.get(f"{event_name(number)}.json")
        return None if line is None else whereabouts(*(line.get(key) for key in ("kind", "run", "step", "component")))


@dataclass(frozen=True)
class _Archive:
    """The whole entries of a file that is open."""

    file: Path
    stream: BinaryIO
    entries: Mapping[str, StoredEntry]
    limits: Limits

    def read(self, name: str) -> bytes:
        entry = self.entries[name]
        self.limits.check("json_bytes", f"{self.file}: the size in bytes of {name}", entry.size, RecordingError)
        self.stream.seek(entry.begin)
        return self.stream.read(entry.size)

    def is_altered(self, name: str, content: bytes, index: _Index) -> bool:
        line = index.lines.get(name)
        wrong = line is not None and line["sha256"] != hashlib.sha256(content).hexdigest()
        return wrong or zlib.crc32(content) != self.entries[name].crc


def read_contents(file: Path, limits: Limits) -> Contents:
    """Read all of a file but the arrays.

    Raises
    ------
    MissingFileError, ModelError : it is not there, or no regular file
    RecordingError : it does not begin with the header of a recording, or a newer sdrt wrote it
    """
    check_given(file, "a recording")
    with open_file(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        found = scan(stream, size)
        if not found.entries or found.entries[0].name != HEADER:
            raise RecordingError(f"{file}: must be a recording, which begins with {HEADER}, got another file; pass one that sdrt wrote")
        archive = _Archive(file, stream, {entry.name: entry for entry in found.entries}, limits)
        header_text = archive.read(HEADER)
        header = _read_header(file, header_text)
        problem = found.problem or check_directory(stream, found, size)
        index = _read_index(archive)
        events, broken = _read_events(archive, index)
        if archive.is_altered(HEADER, header_text, index):
            problem = problem or f"{HEADER} is altered"
    sha256 = {name: line["sha256"] for name, line in index.lines.items()}
    reason = broken or problem or index.problem
    all_there = len(events) == index.num_events
    lost = f"{file}: {reason}; {_first_lost(events, index, all_there=all_there)}; {_REPAIR}" if reason else None
    return Contents(header, archive.entries, sha256, tuple(events), lost)


def _read_header(file: Path, text: bytes) -> dict[str, Any]:
    header = _object(text)
    if header is None or header.get("format") != NAME:
        raise RecordingError(f"{file}: {HEADER} must be the header of a recording, got {shown(text[:60])}; pass a file that sdrt wrote")
    version = header.get("version")
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise RecordingError(f"{file}: the version of a recording must be 1 to {FORMAT}, got {shown(version)}; update sdrt to read it")
    return header


def _read_index(archive: _Archive) -> _Index:
    """Return the index, which has to list every other entry; an empty one with the reason where it does not."""
    names = list(archive.entries)
    if names[-1] != INDEX:
        return _Index(problem="it has no index")
    index = _object(archive.read(INDEX)) or {}
    lines, num_events = index.get("entries"), index.get("num_events")
    if type(num_events) is not int or not isinstance(lines, dict) or not all(map(_is_line, lines.values())):
        return _Index(problem=f"{INDEX} is altered")
    sizes = {name: archive.entries[name].size for name in names[:-1]}
    listed = {name: line["size"] for name, line in lines.items()}
    other = next((name for name in {**listed, **sizes} if listed.get(name) != sizes.get(name)), None)
    return _Index(lines, num_events, "" if other is None else f"{shown(other)} is not what the index has")


def _is_line(line: object) -> bool:
    return isinstance(line, dict) and type(line.get("size")) is int and is_sha256(line.get("sha256"))


def _read_events(archive: _Archive, index: _Index) -> tuple[list[Event], str]:
    """Return the whole events before the first that is not, and what is wrong with that one; empty where nothing is."""
    events: list[Event] = []
    for number in count():
        name = event_name(number)
        file = f"{name}.json"
        if file not in archive.entries:
            return events, f"{file} is missing" if number < (index.num_events or 0) else ""
        content = archive.read(file)
        if archive.is_altered(file, content, index):
            return events, f"{file} is altered"
        try:
            event = read_event(content, name)
        except RecordingError as error:
            return events, str(error).removesuffix(f"; {_REPAIR}")
        if absent := next((spec.entry for spec in event.arrays.values() if spec.entry not in (None, *archive.entries)), None):
            return events, f"{shown(absent)} is missing"
        events.append(event)
    raise AssertionError


def _first_lost(events: Sequence[Event], index: _Index, *, all_there: bool) -> str:
    """Say which step is the first that is not among the whole events."""
    if all_there:
        return "no step is lost"
    if place := index.place(len(events)):
        return f"the first that is lost is {place}"
    if not events:
        return "all steps are lost"
    last = events[-1]
    calls = next((event.values.get("num_calls") for event in events if event.kind == "begin" and event.run == last.run), None)
    if last.kind == "end":
        return f"run {last.run} is whole, and what came after it is lost"
    if last.kind != "step" or last.step is None:
        return f"the first that is lost is step {last.step or 0} of run {last.run}"
    ended = last.step + 1 == calls
    return f"the first that is lost is {'the end' if ended else f'step {last.step + 1}'} of run {last.run}"


def _object(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a text; None where it is none."""
    try:
        value = parse_json(text.decode(), "", "", RecordingError)
    except (UnicodeDecodeError, RecordingError):
        return None
    return value if isinstance(value, dict) else None

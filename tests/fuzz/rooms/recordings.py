"""Recordings of runs: files with damaged bytes, and sound files of hostile JSON."""

import hashlib
import io
import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import sdrt
from sdrt.compare.replaying import replay_options
from sdrt.errors import RecordingError
from sdrt.recordings import Recording
from sdrt.recordings.recognition import HEADER
from sdrt.recordings.writer import INDEX
from sdrt.recordings.zip_writer import ZipWriter
from tests.fuzz.damage import damaged_file, damaged_json
from tests.fuzz.drawing import Draw, overwrite
from tests.fuzz.materials import Materials


def _read(recording: Recording) -> None:
    """Read whatever a recording says that it holds."""
    for event in recording.events(None):
        recording.arrays(event)
    for run in recording.runs:
        recording.outcome(run)
    for name in recording.files:
        recording.file(name)


def from_file(draw: Draw) -> str | None:
    """A damaged file: what is whole of it is read, and the damage is found."""
    file = draw.copy_of(draw.materials.recording)
    damaged_file(draw, file, head=draw.choice((4_096, 2**20)))
    changed = not file.is_file() or file.read_bytes() != draw.materials.recording.read_bytes()
    recording = Recording.open(file)
    for event in recording.events(None):
        try:
            recording.arrays(event)
        except RecordingError:
            # damage in the arrays themselves is named when they are read
            draw.note(f"{event.name} is refused")
    recording.verify()
    return "altered, and nothing said" if changed else None


@cache
def _entries(materials: Materials) -> dict[str, bytes]:
    with zipfile.ZipFile(materials.recording) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(entries: dict[str, bytes], file: Path, *, index: bool) -> None:
    """Write entries as a whole recording, with an index of what they are now where that is asked for."""
    stream = io.BytesIO()
    writer = ZipWriter(stream)
    for name, content in entries.items():
        if name == INDEX and index:
            own = json.loads(content)
            own["entries"] = {
                each: {**own["entries"].get(each, {}), "size": len(held), "sha256": hashlib.sha256(held).hexdigest()}
                for each, held in entries.items()
                if each != INDEX
            }
            content = json.dumps(own).encode()
        writer.add(name, [content])
    writer.close()
    overwrite(file, stream.getvalue())


def _hostile(draw: Draw, file: Path) -> str:
    """Write a recording with a hostile header, event or index; returns which."""
    entries = dict(_entries(draw.materials))
    name: str = draw.choice((HEADER, HEADER, INDEX, *(each for each in entries if each.startswith("events/") and each.endswith(".json"))))
    draw.note(name)
    entries[name], _ = damaged_json(draw, json.loads(entries[name]))
    write(entries, file, index=name != INDEX and draw.chance(0.8))
    return name


def from_json(draw: Draw) -> str | None:
    """Hostile JSON with checksums that are right: events, arrays, settings."""
    file: Path = draw.copy_of(draw.materials.recording)
    _hostile(draw, file)
    recording = Recording.open(file)
    _read(recording)
    for run in recording.runs:
        replay_options(recording, run)
    return None


def as_model(draw: Draw) -> str | None:
    """The same as a model."""
    file: Path = draw.copy_of(draw.materials.recording)
    _hostile(draw, file)
    result: Any = sdrt.load(file).generate("a red circle", seed=93, num_inference_steps=1)
    return None if result.images[0].size == (128, 128) else f"a picture of {result.images[0].size}"


GENERATORS = {"recording-file": from_file, "recording-json": from_json, "recording-model": as_model}

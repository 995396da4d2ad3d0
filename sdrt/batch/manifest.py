"""The manifest of a batch: a line of JSON for each row that was dealt with, written whole or not at all."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from sdrt.errors import ImageError, SdrtError
from sdrt.host import lock_file
from sdrt.images.saving import cannot_write
from sdrt.json_text import parse_json

__all__ = ["MANIFEST", "append_line", "read_manifest"]

MANIFEST = "manifest.jsonl"

# Seconds that another process may take to write its line.
_PATIENCE = 30.0


def append_line(folder: Path, entry: Mapping[str, Any]) -> None:
    """Add a line to the manifest of a folder; the rest of a line that a lost disk or a full one cut off goes.

    Raises
    ------
    ImageError : it cannot be written
    """
    file = folder / MANIFEST
    line = json.dumps(entry, ensure_ascii=False, allow_nan=False, default=str).encode() + b"\n"
    try:
        with file.open("a+b") as stream:
            _lock(stream)
            _drop_the_rest(stream)
            # one call: a process that is killed has written all of it or nothing
            os.write(stream.fileno(), line)
    except OSError as error:
        raise cannot_write(file, error) from error


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a folder's manifest; those that are whole and objects, and none where there is no manifest.

    Raises
    ------
    ImageError : it cannot be read
    """
    file = folder / MANIFEST
    try:
        lines = file.read_bytes().split(b"\n")[:-1] if file.is_file() else []
    except OSError as error:
        raise cannot_write(file, error) from error
    return [entry for entry in map(_entry, lines) if entry is not None]


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = parse_json(line.decode(), MANIFEST)
    except (SdrtError, UnicodeDecodeError):
        # somebody wrote over it: the pictures tell what is finished
        return None
    return entry if isinstance(entry, dict) else None


def _lock(stream: BinaryIO) -> None:
    """Wait until no other process writes; where the disk has no locks, go on."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            lock_file(stream.fileno())
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
            continue
        except OSError:
            pass
        return


def _drop_the_rest(stream: BinaryIO) -> None:
    end = stream.seek(0, os.SEEK_END)
    if not end:
        return
    stream.seek(end - 1)
    if stream.read(1) == b"\n":
        return
    stream.seek(0)
    content = stream.read()
    if b"\n" not in content:
        raise ImageError(f"{getattr(stream, 'name', MANIFEST)}: must be the manifest of a batch, got another file; move it away")
    stream.truncate(content.rindex(b"\n") + 1)

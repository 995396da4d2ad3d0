"""Measure and copy the records of weight files as stored, without decoding them, and with little memory.

`sdrt.models.mlpackage.blob` describes the format.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from sdrt.errors import ModelError
from sdrt.models.mlpackage.blob import ALIGNMENT, RECORD_HEADER, SENTINEL, file_header

__all__ = ["copy_records", "record_bytes"]

_PIECE = 1 << 24  # bytes in memory at a time


def record_bytes(path: Path, offsets: Iterable[int]) -> dict[int, int]:
    """Return the size of each record in the file: its header, its numbers, and the padding before the next record.

    Raises
    ------
    ModelError : no record at one of the offsets
    """
    with path.open("rb") as file:
        length = path.stat().st_size
        return {offset: ALIGNMENT + _aligned(_read(file, path, offset, length)[2]) for offset in offsets}


def copy_records(source: Path, offsets: Iterable[int], target: Path) -> Mapping[int, int]:
    """Write a weight file that holds some of another's records, in their order.

    Returns
    -------
    mapping from offsets in the source to offsets in the target

    Raises
    ------
    ModelError : no record at one of the offsets
    """
    wanted = sorted(set(offsets))
    moved: dict[int, int] = {}
    length = source.stat().st_size
    with source.open("rb") as old, target.open("xb") as new:
        new.write(file_header(len(wanted)))
        for offset in wanted:
            kind, spare, size, start = _read(old, source, offset, length)
            moved[offset] = new.tell()
            new.write(RECORD_HEADER.pack(SENTINEL, kind, size, new.tell() + ALIGNMENT, spare).ljust(ALIGNMENT, b"\0"))
            old.seek(start)
            for done in range(0, size, _PIECE):
                new.write(old.read(min(_PIECE, size - done)))
            new.write(bytes(_aligned(size) - size))
    return moved


def _read(file: BinaryIO, path: Path, offset: int, length: int) -> tuple[int, int, int, int]:
    """Return element type, unused bits, size and start of the record whose header is at ``offset``."""
    file.seek(offset)
    raw = file.read(RECORD_HEADER.size)
    if len(raw) == RECORD_HEADER.size:
        sentinel, kind, size, start, spare = RECORD_HEADER.unpack(raw)
        if sentinel == SENTINEL and start + size <= length:
            return kind, spare, size, start
    raise ModelError(f"{path}: a weight must be at offset {offset}, got none; program and weights do not match: convert the model again")


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT

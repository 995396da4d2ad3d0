"""Find the entries of a zip file by walking from header to header, and hold its directory against what was found.

A file whose writer was killed has no directory; one that was altered may have a wrong one. So the headers are read first, and the
directory has to say the same.
"""

import re
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from sdrt.recordings.zip_writer import StoredEntry

__all__ = ["COMMENT", "Scan", "check_directory", "scan"]

# The SHA-256 of all bytes before it, as hexadecimal digits.
COMMENT = 64

_NAME = re.compile("[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_LONGEST_NAME = 200
# A file of 10,000 steps with 6 networks has fewer.
_MOST_ENTRIES = 500_000
# Encrypted entries, and such whose sizes stand behind their bytes.
_REFUSED_FLAGS = ~0x0800


@dataclass(frozen=True)
class Scan:
    """What was found.

    Parameters
    ----------
    entries : list of StoredEntry
        The whole ones, in their order.
    end : int
        Where the last of them ends.
    problem : str
        What is behind that; empty where it is a directory.
    """

    entries: list[StoredEntry] = field(default_factory=list)
    end: int = 0
    problem: str = ""


def scan(stream: BinaryIO, size: int) -> Scan:
    """Walk over the entries of a file.

    Parameters
    ----------
    stream : BinaryIO
    size : int
        Of the file in bytes.
    """
    entries: list[StoredEntry] = []
    names: set[str] = set()
    at = 0
    while True:
        stream.seek(at)
        header = stream.read(30)
        if header[:4] in (b"PK\1\2", b"PK\5\6"):
            return Scan(entries, at)
        entry = _entry(stream, header, at)
        if isinstance(entry, str):
            return Scan(entries, at, entry)
        if entry.begin + entry.size > size:
            return Scan(entries, at, f"{entry.name} is cut short: it has {entry.size} bytes, and {max(0, size - entry.begin)} are there")
        if entry.name in names or len(entries) >= _MOST_ENTRIES:
            return Scan(entries, at, f"{entry.name} is there twice" if entry.name in names else f"more than {_MOST_ENTRIES} entries")
        names.add(entry.name)
        entries.append(entry)
        at = entry.begin + entry.size


def _entry(stream: BinaryIO, header: bytes, at: int) -> StoredEntry | str:
    """Return the entry that a header describes, or what is wrong with it."""
    if not header:
        return f"the file ends at byte {at}, without a directory"
    if len(header) < 30:
        return f"the header at byte {at} is cut short"
    mark, _, flags, method, _, _, crc, packed, size, name_size, extra_size = struct.unpack("<4s5H3I2H", header)
    if mark != b"PK\3\4":
        return f"no header at byte {at}"
    raw = stream.read(min(name_size, _LONGEST_NAME + 1))
    name = raw.decode("ascii", "replace")
    if len(raw) != name_size or len(raw) > _LONGEST_NAME or not _NAME.fullmatch(name) or ".." in name:
        return f"the name at byte {at} is cut short or none of a recording"
    if method or flags & _REFUSED_FLAGS or packed != size:
        return f"{name} is packed, and entries of a recording are stored as they are"
    return StoredEntry(name, at, at + 30 + name_size + extra_size, size, crc)


def check_directory(stream: BinaryIO, found: Scan, size: int) -> str:
    """Return what is wrong with the directory behind the entries; empty where nothing is."""
    stream.seek(found.end)
    most = size - found.end
    if most > (46 + _LONGEST_NAME + 300) * (len(found.entries) + 1) + 200:
        return "more than a directory stands behind the entries"
    directory = stream.read(most)
    at = 0
    for entry in found.entries:
        if (length := _length_of_line(directory[at : at + 46 + _LONGEST_NAME + 300], entry)) is None:
            return f"the directory's line for {entry.name} is altered or missing"
        at += length
    end = directory[at:]
    if not _is_end(end, len(found.entries), found.end, at):
        return "the end of the directory is altered or missing"
    return ""


def _length_of_line(line: bytes, entry: StoredEntry) -> int | None:
    """Return the length of the directory's line for an entry; None where it is for another."""
    if len(line) < 46:
        return None
    mark, _, _, flags, method, _, _, crc, packed, size, name_size, extra_size, comment_size, disk, _, _, offset = struct.unpack(
        "<4s6H3I5H2I", line[:46]
    )
    extra = line[46 + name_size : 46 + name_size + extra_size]
    if offset == 0xFFFFFFFF:
        offset = _wide_offset(extra)
    said = (mark, method, crc, packed, size, line[46 : 46 + name_size], disk, offset, flags & _REFUSED_FLAGS)
    is_it = said == (b"PK\1\2", 0, entry.crc, entry.size, entry.size, entry.name.encode("ascii"), 0, entry.offset, 0)
    return 46 + name_size + extra_size + comment_size if is_it else None


def _wide_offset(extra: bytes) -> int:
    while len(extra) >= 4:
        kind, length = struct.unpack("<2H", extra[:4])
        if kind == 1 and length == 8:
            return int.from_bytes(extra[4:12].ljust(8, b"\0"), "little")
        extra = extra[4 + length :]
    return -1


def _is_end(end: bytes, count: int, begin: int, size: int) -> bool:
    """Return whether these are the last bytes of a file with this directory."""
    if len(end) < 22 + COMMENT:
        return False
    wide, last, comment = end[: -22 - COMMENT], end[-22 - COMMENT : -COMMENT], end[-COMMENT:]
    _, _, _, entries, all_entries, own_size, own_begin, comment_size = struct.unpack("<4s4H2IH", last)
    narrow = (min(count, 0xFFFF),) * 2 + (min(size, 0xFFFFFFFF), min(begin, 0xFFFFFFFF))
    if last[:8] != b"PK\5\6\0\0\0\0" or comment_size != COMMENT or (entries, all_entries, own_size, own_begin) != narrow:
        return False
    if not re.fullmatch(b"[0-9a-f]{64}", comment):
        return False
    if 0xFFFF not in narrow[:2] and 0xFFFFFFFF not in narrow[2:]:
        return not wide
    if len(wide) != 76:
        return False
    record, locator = struct.unpack("<4sQ2H2I4Q", wide[:56]), struct.unpack("<4sIQI", wide[56:])
    return (record[0], *record[4:]) == (b"PK\6\6", 0, 0, count, count, size, begin) and locator == (b"PK\6\7", 0, begin + size, 1)

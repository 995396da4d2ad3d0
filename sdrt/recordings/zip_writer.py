"""Write a zip file whose entries are stored one after the other, as they come, with the SHA-256 of the whole in its last bytes.

The standard library's writer goes back to fill in sizes and checksums, so that a file whose writer was killed has entries without them.
Here each entry's header is whole before its bytes follow. Times are left out: the same entries make the same file.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local headers), 4.3.12 (directory), 4.3.14 to 4.3.16 (its end).
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from sdrt.errors import RecordingError

__all__ = ["DATE", "Piece", "StoredEntry", "ZipWriter", "directory_end", "directory_entry", "local_header"]

# Bytes that follow each other in an entry.
Piece = bytes | bytearray | memoryview

# 1 January 1980, the first day that the format has.
DATE = 0x21
_VERSION, _VERSION_64 = 20, 45
# From here on a number is written in 64 bits, in a field of its own.
_MOST, _MOST_ENTRIES = 0xFFFFFFFF, 0xFFFF


@dataclass(frozen=True)
class StoredEntry:
    """One entry of a zip file.

    Parameters
    ----------
    name : str
    offset : int
        Where its header begins.
    begin, size : int
        Of its bytes.
    crc : int
    """

    name: str
    offset: int
    begin: int
    size: int
    crc: int


class ZipWriter:
    """Write entries into a stream that is empty.

    Parameters
    ----------
    stream : BinaryIO
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self._at = 0
        self._entries: list[StoredEntry] = []

    def add(self, name: str, pieces: Sequence[Piece]) -> str:
        """Write an entry, and return the SHA-256 of its bytes.

        Raises
        ------
        RecordingError : more bytes than an entry of this format holds
        """
        size, crc, sha256 = sum(map(len, pieces)), 0, hashlib.sha256()
        if size >= _MOST:
            raise RecordingError(f"{name}: an event must have less than 4 GiB of arrays, got {size} bytes; record with keep='outputs'")
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
            sha256.update(piece)
        header = local_header(name, size, crc)
        self._entries.append(StoredEntry(name, self._at, self._at + len(header), size, crc))
        for piece in (header, *pieces):
            self._write(piece)
        # what a process that is killed has written so far is then the system's to keep
        self._stream.flush()
        return sha256.hexdigest()

    def close(self) -> None:
        """Write the directory, and the SHA-256 of all bytes before it; the stream stays open."""
        begin = self._at
        for entry in self._entries:
            self._write(directory_entry(entry))
        self._write(directory_end(len(self._entries), begin, self._at - begin))
        self._write(self._sha256.hexdigest().encode())
        self._stream.flush()

    def _write(self, piece: Piece) -> None:
        self._stream.write(piece)
        self._sha256.update(piece)
        self._at += len(piece)


def local_header(name: str, size: int, crc: int) -> bytes:
    """Return what stands before the bytes of an entry."""
    encoded = name.encode("ascii")
    return struct.pack("<4s5H3I2H", b"PK\3\4", _VERSION, 0, 0, 0, DATE, crc, size, size, len(encoded), 0) + encoded


def directory_entry(entry: StoredEntry) -> bytes:
    """Return the directory's line for an entry."""
    name, far = entry.name.encode("ascii"), entry.offset >= _MOST
    extra = struct.pack("<2HQ", 1, 8, entry.offset) if far else b""
    version = _VERSION_64 if far else _VERSION
    numbers = (version, version, 0, 0, 0, DATE, entry.crc, entry.size, entry.size, len(name), len(extra), 0, 0, 0, 0)
    return struct.pack("<4s6H3I5H2I", b"PK\1\2", *numbers, min(entry.offset, _MOST)) + name + extra


def directory_end(count: int, begin: int, size: int) -> bytes:
    """Return what stands behind a directory, up to the comment of 64 characters that ends the file."""
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *[min(count, _MOST_ENTRIES)] * 2, min(size, _MOST), min(begin, _MOST), 64)
    if count < _MOST_ENTRIES and begin < _MOST and size < _MOST:
        return end
    wide = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, _VERSION_64, _VERSION_64, 0, 0, count, count, size, begin)
    return wide + struct.pack("<4sIQI", b"PK\6\7", 0, begin + size, 1) + end

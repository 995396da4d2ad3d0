"""The zip file below a recording: what other programs read, and files of more than 4 GiB."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from sdrt.recordings.zip_reader import COMMENT, Scan, check_directory, scan
from sdrt.recordings.zip_writer import StoredEntry, ZipWriter


class FarFile(io.RawIOBase):
    """A file of which only what stands behind `hole` bytes is kept."""

    def __init__(self, hole: int) -> None:
        self.hole, self.at, self.kept = hole, hole, bytearray()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.hole + len(self.kept))[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.kept += data
        self.at += len(data)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        begin = self.at - self.hole
        # programs look for the end of the directory in the last 64 KiB
        assert begin >= -70_000, "no more of the hole is read"
        end = len(self.kept) if size < 0 else min(len(self.kept), begin + size)
        found = bytes(max(0, min(end, 0) - begin)) + bytes(self.kept[max(0, begin) : max(0, end)])
        self.at += len(found)
        return found


def written(hole: int, count: int) -> tuple[FarFile, list[StoredEntry], int]:
    """A zip of small entries that begin behind a hole, its entries, and where its directory begins."""
    file = FarFile(hole)
    writer = ZipWriter(file)  # type: ignore[arg-type]
    writer._at = hole
    for k in range(count):
        writer.add(f"events/{k}", [b"content ", b"%d" % k])
    begin = writer._at
    writer.close()
    return file, list(writer._entries), begin


@pytest.mark.parametrize(("hole", "count"), [(0, 3), (2**32 - 60, 3), (2**33 + 7, 3), (0, 70_000)], ids=["small", "edge", "far", "many"])
def test_other_programs_and_the_reader_agree(hole: int, count: int) -> None:
    file, entries, begin = written(hole, count)
    with zipfile.ZipFile(file) as archive:
        assert [info.header_offset for info in archive.infolist()] == [entry.offset for entry in entries]
        assert archive.read(f"events/{count - 1}") == b"content %d" % (count - 1)
        assert len(archive.comment) == COMMENT
    size = hole + len(file.kept)
    found = Scan(entries, begin)
    assert check_directory(file, found, size) == ""  # type: ignore[arg-type]
    if count == 3:
        for at in range(begin - hole, len(file.kept) - COMMENT):
            if not is_free(file.kept, at, begin - hole):
                file.kept[at] ^= 1
                assert check_directory(file, found, size) != "", at  # type: ignore[arg-type]
                file.kept[at] ^= 1


def is_free(content: bytearray, at: int, begin: int) -> bool:
    """Whether a byte of a directory may be anything as far as its structure goes: versions, times, attributes; the SHA-256 has them."""
    line = begin
    while content[line : line + 4] == b"PK\1\2":
        name, extra, comment = struct.unpack("<3H", content[line + 28 : line + 34])
        free = {4, 5, 6, 7, 12, 13, 14, 15, 36, 37, 38, 39, 40, 41, 9}
        if at - line in free:
            return True
        line += 46 + name + extra + comment
    # version numbers of the wide end
    return content[line : line + 4] == b"PK\6\6" and at - line in range(4, 16)


def test_packed_and_broken_entries_are_no_entries(tmp_path: Path) -> None:
    file = tmp_path / "x.zip"

    def found() -> Scan:
        with file.open("rb") as stream:
            return scan(stream, file.stat().st_size)

    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"0" * 1_000)
    assert found().problem == "a is packed, and entries of a recording are stored as they are"
    for name in ("../a", "a/../b", "/a", "a//b", "a\\b", "a\n", "ä", "a" * 300):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(zipfile.ZipInfo(name), b"0")
        assert "name at byte 0" in found().problem, name
    head = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0x21, zlib.crc32(b"0"), 1, 1, 1, 0)
    file.write_bytes((head + b"a0") * 2)
    assert found().problem == "a is there twice"
    file.write_bytes(head[:22] + head[22:] + b"a")
    assert found().problem == "a is cut short: it has 1 bytes, and 0 are there"
    file.write_bytes(head[:20])
    assert found().problem == "the header at byte 0 is cut short"

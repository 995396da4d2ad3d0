"""Tell recordings from other files without reading them; it imports little, since every ``sdrt.load`` asks."""

from pathlib import Path

from sdrt.files import file_size, is_file, read_range

__all__ = ["HEADER", "is_recording"]

HEADER = "recording.json"  # the first entry of the file


def is_recording(file: Path) -> bool:
    """Return whether a file begins as a recording does; what is no file is none."""
    if not is_file(file):
        return False
    head = HEADER.encode("ascii")
    return file_size(file) >= 30 + len(head) and read_range(file, 0, 4) == b"PK\3\4" and read_range(file, 30, len(head)) == head

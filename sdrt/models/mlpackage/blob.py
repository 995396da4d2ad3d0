"""Weight files: records of numbers behind a header, mapped from disk, every offset checked against the file's length.

A file begins with 64 bytes (count of records u32, version u32 = 2); a record is a header of 64 bytes (0xDEADBEEF u32, element type u32,
size in bytes u64, offset of the numbers u64, unused bits at the end u64) and, at that offset, the numbers. A program points at headers.

Source: apple/coremltools 9.0, mlmodel/src/MILBlob/Blob/StorageFormat.hpp.
"""

import struct
from pathlib import Path

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import ModelError
from sdrt.files import file_size, map_file, read_range
from sdrt.forking import ForkLock
from sdrt.models.mlpackage.dtypes import BLOB_NAMES, NUMPY, SUB_BYTE_BITS, byte_count, size_of, unpack_bits
from sdrt.models.mlpackage.files import inside
from sdrt.models.mlpackage.mil import Blob, TensorType

__all__ = ["ALIGNMENT", "RECORD_HEADER", "SENTINEL", "VERSION", "BlobFile", "BlobFiles", "file_header"]

VERSION = 2
ALIGNMENT = 64  # bytes: of the file's header, of each record's, and of the numbers
SENTINEL = 0xDEADBEEF
RECORD_HEADER = struct.Struct("<IIQQQ")  # sentinel, element type, size in bytes, offset of the numbers, unused bits at the end
_FILE_HEADER = struct.Struct("<II")  # count of records, version


def file_header(count: int) -> bytes:
    """Return the first bytes of a file of ``count`` records."""
    return _FILE_HEADER.pack(count, VERSION).ljust(ALIGNMENT, b"\0")


class BlobFile:
    """One weight file.

    Parameters
    ----------
    path : Path
    memory_map : bool
        Whether its numbers stay on disk until they are read.

    Raises
    ------
    MissingFileError : it is not there
    ModelError : it is no weight file of version 2
    """

    def __init__(self, path: Path, *, memory_map: bool = True) -> None:
        self.path = path
        self._data = memoryview(map_file(path)) if memory_map else None
        self._length = file_size(path) if self._data is None else len(self._data)
        if self._length < ALIGNMENT:
            raise ModelError(f"{path}: a weight file must have at least {ALIGNMENT} bytes, got {self._length}; fetch the package again")
        _, version = _FILE_HEADER.unpack(self._part(0, _FILE_HEADER.size))
        if version != VERSION:
            raise ModelError(f"{path}: the version of a weight file must be {VERSION}, got {version}; convert the model again")

    def _part(self, start: int, length: int) -> memoryview | bytes:
        return read_range(self.path, start, length) if self._data is None else self._data[start : start + length]

    def tensor(self, offset: int, kind: TensorType) -> Array:
        """Return the numbers of a record: a read-only view of the file, or unpacked where they are smaller than a byte.

        Parameters
        ----------
        offset : int
            Of the record's header.
        kind : TensorType
            What the program says is there.

        Raises
        ------
        ModelError : there is no record, or one of another type or size
        """
        if None in kind.shape:
            raise ModelError(f"{self.path}: the shape of a weight is open in the program ({kind}); convert the model again")
        shape = tuple(size for size in kind.shape if size is not None)
        count = size_of(shape)
        start, length = self._record(offset, kind, byte_count(kind.dtype, count))
        raw = np.frombuffer(self._part(start, length), np.uint8)
        if kind.dtype in SUB_BYTE_BITS:
            return unpack_bits(raw, kind.dtype, count).reshape(shape)
        if kind.dtype == "bf16":
            return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
        return raw.view(NUMPY[kind.dtype].newbyteorder("<")).astype(NUMPY[kind.dtype], copy=False).reshape(shape)

    def _record(self, offset: int, kind: TensorType, needed: int) -> tuple[int, int]:
        """Where the numbers of the record at ``offset`` stand, and how many bytes they take."""
        where = f"{self.path}, record at {offset}"
        if offset + ALIGNMENT > self._length:
            raise ModelError(f"{where}: the file ends at {self._length}; fetch the package again")
        sentinel, number, size, start, spare = RECORD_HEADER.unpack(self._part(offset, RECORD_HEADER.size))
        if sentinel != SENTINEL:
            raise ModelError(f"{where}: a record must begin with deadbeef, got {sentinel:08x}; program and weights do not belong together")
        if kind.dtype not in (BLOB_NAMES.get(number), "bool" if number == 3 else None):
            raise ModelError(
                f"{where}: the record must hold {kind}, got {BLOB_NAMES.get(number, f'type {number}')}; convert the model again"
            )
        if start + size > self._length:
            raise ModelError(f"{where}: {size} bytes from {start} leave the file, which ends at {self._length}; fetch the package again")
        if size != needed or spare >= 8 * max(size, 1):
            raise ModelError(f"{where}: {kind} must take {needed} bytes, got {size}; program and weights do not belong together")
        return start, size


class BlobFiles:
    """All weight files of a package, each mapped when first needed; safe in threads.

    Parameters
    ----------
    root : Path
        The folder for which programs write ``@model_path``.
    memory_map : bool
        Whether numbers stay on disk until they are read.
    """

    def __init__(self, root: Path, *, memory_map: bool = True) -> None:
        self._root = root
        self._memory_map = memory_map
        self._files: dict[str, BlobFile] = {}
        self._lock = ForkLock()

    def tensor(self, blob: Blob, kind: TensorType) -> Array:
        """Return the numbers at a place that a program names.

        Raises
        ------
        ModelError : the path leaves the package, or see `BlobFile.tensor`
        """
        with self._lock:
            if blob.file not in self._files:
                self._files[blob.file] = BlobFile(self._path(blob.file), memory_map=self._memory_map)
            file = self._files[blob.file]
        return file.tensor(blob.offset, kind)

    def size(self) -> int:
        """Bytes of the files that were opened."""
        return sum(file.path.stat().st_size for file in self._files.values())

    def _path(self, name: str) -> Path:
        return inside(self._root, name.removeprefix("@model_path/"), f"{self._root}: the program's weight file")

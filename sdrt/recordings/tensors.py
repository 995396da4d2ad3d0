"""Arrays as one safetensors entry, written without a second copy of them and read with every number of its header checked.

The library's own functions take and give whole byte strings: a copy of everything that a call of a large network returns.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import RecordingError
from sdrt.json_text import parse_json
from sdrt.printable import shown
from sdrt.recordings.zip_writer import Piece
from sdrt.values import Kind, RefusedError

__all__ = ["DTYPES", "ArraySpec", "ArraySpecKind", "array_bytes", "is_sha256", "read_tensors", "spec_of", "tensor_pieces"]

# The dtypes of a recording's arrays, and safetensors' names of them.
DTYPES: Mapping[str, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
_MOST_AXES, _LONGEST_AXIS = 16, 2**40


@dataclass(frozen=True)
class ArraySpec:
    """What an event says of one of its arrays.

    Parameters
    ----------
    dtype : str
        A numpy dtype name.
    shape : tuple of int
    sha256 : str
        Of its bytes: row by row, the lowest byte of a number first.
    entry, key : str or None
        The safetensors entry that holds it, and its name there; None where only the SHA-256 was kept.
    """

    dtype: str
    shape: tuple[int, ...]
    sha256: str
    entry: str | None = None
    key: str | None = None

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def identity(self) -> tuple[str, tuple[int, ...], str]:
        """What two equal arrays have in common."""
        return self.dtype, self.shape, self.sha256

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


class ArraySpecKind(Kind[ArraySpec]):
    """A spec as JSON."""

    def describe(self) -> str:
        return "an object with dtype, shape and sha256, and entry and key where it is kept"

    def convert(self, value: object) -> ArraySpec:
        if not isinstance(value, Mapping) or not {"dtype", "shape", "sha256"} <= value.keys() <= {
            "dtype",
            "shape",
            "sha256",
            "entry",
            "key",
        }:
            raise RefusedError
        dtype, shape, sha256, entry, key = (value.get(name) for name in ("dtype", "shape", "sha256", "entry", "key"))
        if not isinstance(dtype, str) or dtype not in DTYPES or not _is_shape(shape) or not is_sha256(sha256):
            raise RefusedError
        if (entry is None) != (key is None) or entry == "" or not all(each is None or isinstance(each, str) for each in (entry, key)):
            raise RefusedError
        return ArraySpec(dtype, tuple(shape), sha256, entry, key)  # type: ignore[arg-type]


def _is_shape(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= _MOST_AXES
        and all(type(side) is int and 0 <= side < _LONGEST_AXIS for side in value)
        and math.prod(value) < _LONGEST_AXIS
    )


def is_sha256(value: object) -> bool:
    """Return whether a value is a SHA-256 as hexadecimal digits."""
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def array_bytes(x: Array) -> memoryview:
    """Return the bytes of an array: a view where it is contiguous."""
    lowest_first = np.ascontiguousarray(x.astype(x.dtype.newbyteorder("<"), copy=False))
    return lowest_first.reshape(-1).view(np.uint8).data


def spec_of(name: str, x: Array) -> ArraySpec:
    """Describe an array.

    Raises
    ------
    RecordingError : a dtype that a recording does not have
    """
    if x.dtype.name not in DTYPES:
        raise RecordingError(f"{name}: an array must be of {', '.join(DTYPES)}, got {x.dtype}; convert it first")
    return ArraySpec(x.dtype.name, x.shape, hashlib.sha256(array_bytes(x)).hexdigest())


def tensor_pieces(arrays: Mapping[str, Array]) -> list[Piece]:
    """Return the bytes of a safetensors file of these arrays, in pieces that are views of them.

    Source: the format's description at huggingface/safetensors v0.4.3 ``README.md``.
    """
    header: dict[str, Any] = {}
    at = 0
    for name, x in arrays.items():
        header[name] = {"dtype": DTYPES[x.dtype.name], "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *map(array_bytes, arrays.values())]


def read_tensors(content: bytes, where: str) -> dict[str, Array]:
    """Read a safetensors file that is in memory: views of it, read-only.

    Parameters
    ----------
    content : bytes
    where : str
        For messages.

    Raises
    ------
    RecordingError : it is none
    """
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > len(content) - 8:
        raise RecordingError(f"{where}: a safetensors entry must begin with its header, got {len(content)} bytes; record it again")
    try:
        text = content[8 : 8 + size].decode()
    except UnicodeDecodeError:
        raise RecordingError(f"{where}: the header of a safetensors entry must be UTF-8, got other bytes; record it again") from None
    header = parse_json(text, where, "record it again", RecordingError)
    if not isinstance(header, dict):
        raise RecordingError(f"{where}: the header of a safetensors entry must be an object, got {shown(header)}; record it again")
    header.pop("__metadata__", None)
    return {name: _tensor(content, 8 + size, name, entry, where) for name, entry in header.items()}


def _tensor(content: bytes, start: int, name: str, entry: object, where: str) -> Array:
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets")) if isinstance(entry, dict) else (None,) * 3
    known = next((own for own, theirs in DTYPES.items() if theirs == dtype), None)
    if known is not None and isinstance(shape, list) and _is_shape(shape) and isinstance(offsets, list) and len(offsets) == 2:
        numpy_dtype = np.dtype(known).newbyteorder("<")
        count = math.prod(shape)
        begin, end = offsets
        if (
            type(begin) is int
            and type(end) is int
            and 0 <= begin <= end <= len(content) - start
            and end - begin == count * numpy_dtype.itemsize
        ):
            array = np.frombuffer(content, numpy_dtype, count, start + begin) if count else np.empty(0, numpy_dtype)
            return array.reshape(shape).astype(known, copy=False)
    raise RecordingError(f"{where}: the tensor {shown(name)} must have a dtype, a shape and its bytes, got {shown(entry)}; record it again")

"""A safetensors file: its header, checked by the safetensors library, and its tensors as views of a memory map."""

import json
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import WeightsError
from sdrt.files import open_file, read_range
from sdrt.models.pickled import refusal
from sdrt.models.stored_tensor import DTYPES, StoredTensor
from sdrt.models.weight_format import weight_format

__all__ = ["read_metadata", "read_tensors"]


def read_tensors(file: Path, *, memory_map: bool = True) -> list[StoredTensor]:
    """Find the tensors of a file; none is read yet.

    Parameters
    ----------
    file : Path
    memory_map : bool
        Whether a tensor's bytes are a view of the disk; False reads them into memory each time that they are asked for.

    Raises
    ------
    MissingFileError : it is not there
    WeightsError : no safetensors file, one that is cut short, a Git-LFS pointer, or a tensor of a dtype that numpy does not have
    """
    header, start = _read_header(file)
    for name, entry in header.items():
        if entry["dtype"] not in DTYPES:
            raise WeightsError(
                f"{file}: tensor {name!r} must be stored as {', '.join(DTYPES)}, got {entry['dtype']}; convert the file first"
            )
    mapped: Array | None = np.memmap(file, mode="r", dtype=np.uint8).view(np.ndarray) if memory_map else None
    return [
        StoredTensor(
            file,
            name,
            entry["dtype"],
            tuple(entry["shape"]),
            partial(_bytes, file, mapped, *(start + each for each in entry["data_offsets"])),
        )
        for name, entry in header.items()
    ]


def read_metadata(file: Path) -> dict[str, str]:
    """Read the texts that the writer put beside the tensors; empty where there are none.

    Raises
    ------
    MissingFileError, WeightsError : as of `read_tensors`
    """
    from safetensors import safe_open

    _read_header(file)
    with safe_open(file, framework="numpy") as opened:
        return dict(opened.metadata() or {})


def _bytes(file: Path, mapped: Array | None, begin: int, end: int) -> Array:
    if mapped is None:
        return np.frombuffer(read_range(file, begin, end - begin, WeightsError), np.uint8)
    return mapped[begin:end]


def _read_header(file: Path) -> tuple[dict[str, Any], int]:
    """Return the entries of the header by tensor name, and where the tensors' bytes begin."""
    from safetensors import SafetensorError, safe_open

    with open_file(file, WeightsError) as stream:
        start = stream.read(8)
        try:
            # the library refuses headers that overlap, leave holes, or reach beyond the end of the file
            with safe_open(file, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            # what it is in its place is told by its first bytes
            if weight_format(file) == "pickle":
                raise WeightsError(refusal(file)) from None
            raise WeightsError(f"{file}: not a whole safetensors file ({error}); fetch it again") from error
        length = struct.unpack("<Q", start[:8])[0]
        stream.seek(8)
        header: dict[str, Any] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length

"""Weights as they lie on disk: one or more safetensors files behind one read-only mapping of names to arrays.

The safetensors library checks a file's header against its length; the arrays themselves are views of a memory map, so that opening a model
reads nothing and a tensor that nobody asks for is never touched.
"""

import copy
import json
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import MissingFileError, WeightsError

__all__ = ["Weights"]

# safetensors' dtype names; BF16 has no numpy dtype and is widened on access, exactly, as the upper half of a float32
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}

_FLOATS = ("F16", "BF16", "F32", "F64")

_LFS_MAGIC = b"version https://git-lfs"


@dataclass(frozen=True)
class _Tensor:
    file: Path
    stored: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


class Weights(Mapping[str, Array]):
    """The tensors of one part, by canonical name.

    Parameters
    ----------
    files : sequence of Path
        safetensors files; a name may stand in one of them only.
    canonical : callable
        Maps a stored name to the name under which it is found here.

    Reading gives a view of the memory map (float16 and float32 as stored); bfloat16 comes as a float32 array.

    Raises
    ------
    MissingFileError : a file is not there
    WeightsError : a file is no safetensors file, is cut short, is a Git-LFS pointer, or two tensors have one name
    """

    def __init__(self, files: Sequence[Path], canonical: Callable[[str], str] = str) -> None:
        self.files = tuple(files)
        self._maps: dict[Path, np.memmap[tuple[int, ...], np.dtype[np.uint8]]] = {}
        self._tensors: dict[str, _Tensor] = {}
        self._rows: dict[str, Array] = {}
        for file in self.files:
            for tensor in _read_header(file):
                name = canonical(tensor.stored)
                if name in self._tensors:
                    raise WeightsError(
                        f"{file}: tensor {tensor.stored!r} is there twice (as {self._tensors[name].stored!r} too); keep one of them"
                    )
                self._tensors[name] = tensor
            self._maps[file] = np.memmap(file, mode="r", dtype=np.uint8)

    def with_rows(self, name: str, rows: Array) -> Self:
        """The same weights with rows appended to one tensor: a table of embeddings with tokens that were learnt later.

        Parameters
        ----------
        name : str
        rows : float[n, ...]
            As wide as the tensor's own. What is read is in the wider dtype of both.

        Raises
        ------
        WeightsError : the tensor is missing, or of another width
        """
        if name not in self._tensors:
            raise WeightsError(f"{', '.join(map(str, self.files))}: tensor {name!r} is missing; there is nothing to append rows to")
        if rows.shape[1:] != self._shape(name)[1:]:
            raise WeightsError(
                f"{self.where(name)} has shape {list(self._shape(name))}; rows of shape {list(rows.shape)} do not fit below it"
            )
        longer = copy.copy(self)
        longer._rows = {**self._rows, name: np.concatenate([self._rows[name], rows]) if name in self._rows else rows}
        return longer

    def __getitem__(self, name: str) -> Array:
        stored = self._stored(name)
        return np.concatenate([stored, self._rows[name]]) if name in self._rows else stored

    def _shape(self, name: str) -> tuple[int, ...]:
        first, *others = self._tensors[name].shape or (0,)
        return (first + len(self._rows[name]), *others) if name in self._rows else self._tensors[name].shape

    def _stored(self, name: str) -> Array:
        tensor = self._tensors[name]
        dtype = np.dtype(_DTYPES[tensor.dtype])
        count = int(np.prod(tensor.shape, dtype=np.int64))
        raw = self._maps[tensor.file][tensor.offset : tensor.offset + count * dtype.itemsize]
        flat: Array = np.frombuffer(raw, dtype=dtype)
        if tensor.dtype == "BF16":
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        return flat.reshape(tensor.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def release(self) -> None:
        """Let go of the memory that reading the map has taken; arrays stay valid, and what is asked for again is read again."""
        for mapped in self._maps.values():
            if isinstance(mapped.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                mapped.base.madvise(mmap.MADV_DONTNEED)

    def where(self, name: str) -> str:
        """File and stored name of a tensor, for messages."""
        tensor = self._tensors[name]
        return f"{tensor.file}: tensor {tensor.stored!r}"

    def take(self, name: str, shape: tuple[int, ...]) -> Array:
        """The tensor ``name``, which must have this shape.

        Raises
        ------
        WeightsError : it is not there, has another shape, is no floating tensor, or holds a NaN or an infinity
        """
        if name not in self._tensors:
            files = ", ".join(map(str, self.files))
            raise WeightsError(f"{files}: tensor {name!r} of shape {list(shape)} is missing; the file does not fit its config.json")
        tensor = self._tensors[name]
        if self._shape(name) != shape:
            got, want = list(self._shape(name)), list(shape)
            raise WeightsError(f"{self.where(name)} has shape {got}, but config.json asks for {want}; one of the two is of another model")
        if tensor.dtype not in _FLOATS:
            raise WeightsError(f"{self.where(name)} is stored as {tensor.dtype}; weights are {', '.join(_FLOATS)}: convert the file first")
        x = self[name]
        if bad := x.size - np.count_nonzero(np.isfinite(x)):
            raise WeightsError(f"{self.where(name)} holds {bad} NaN or infinite values; the file is damaged, fetch it again")
        return x


def _read_header(file: Path) -> list[_Tensor]:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise MissingFileError(f"{file}: not found; a part's weights lie beside its config.json as safetensors")
    with file.open("rb") as stream:
        start = stream.read(max(8, len(_LFS_MAGIC)))
        if start.startswith(_LFS_MAGIC):
            raise WeightsError(f"{file}: a Git-LFS pointer, not the weights; run 'git lfs pull' in the model's folder")
        try:
            # the library refuses headers that overlap, leave holes, or reach beyond the end of the file
            with safe_open(file, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{file}: not a whole safetensors file ({error}); fetch it again") from error
        length = struct.unpack("<Q", start[:8])[0]
        stream.seek(8)
        header = json.loads(stream.read(length))
    tensors = []
    for stored, entry in header.items():
        if stored == "__metadata__":
            continue
        if entry["dtype"] not in _DTYPES:
            raise WeightsError(
                f"{file}: tensor {stored!r} is stored as {entry['dtype']}; supported are {', '.join(_DTYPES)}: convert the file first"
            )
        tensors.append(_Tensor(file, stored, entry["dtype"], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0]))
    return tensors

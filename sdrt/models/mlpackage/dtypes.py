"""MIL's element types: how they are spelt, numbered in a program and in a weight file, and held in numpy."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.host import total_memory

__all__ = ["BLOB_NAMES", "FLOATS", "NUMPY", "SPEC_NAMES", "SUB_BYTE_BITS", "byte_count", "largest_tensor_bytes", "unpack_bits"]

# MIL.proto, enum DataType
SPEC_NAMES: Mapping[int, str] = {
    1: "bool",
    2: "string",
    10: "fp16",
    11: "fp32",
    12: "fp64",
    13: "bf16",
    21: "int8",
    22: "int16",
    23: "int32",
    24: "int64",
    25: "int4",
    31: "uint8",
    32: "uint16",
    33: "uint32",
    34: "uint64",
    35: "uint4",
    36: "uint2",
    37: "uint1",
    38: "uint6",
    39: "uint3",
}

# coremltools' MILBlob, enum BlobDataType
BLOB_NAMES: Mapping[int, str] = {
    1: "fp16",
    2: "fp32",
    3: "uint8",
    4: "int8",
    5: "bf16",
    6: "int16",
    7: "uint16",
    8: "int4",
    9: "uint1",
    10: "uint2",
    11: "uint4",
    12: "uint3",
    13: "uint6",
    14: "int32",
    15: "uint32",
}

# Numbers of less than a byte lie packed in a file, the first in the lowest bits, and are held here one a byte.
SUB_BYTE_BITS: Mapping[str, int] = {"uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6, "int4": 4}

NUMPY: Mapping[str, np.dtype[Any]] = {
    "bool": np.dtype(np.bool_),
    "fp16": np.dtype(np.float16),
    "fp32": np.dtype(np.float32),
    "fp64": np.dtype(np.float64),
    "bf16": np.dtype(np.float32),
    **{name: np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
    **{name: np.dtype(np.uint8) for name in SUB_BYTE_BITS if name != "int4"},
    "int4": np.dtype(np.int8),
}

FLOATS = frozenset({"fp16", "fp32", "fp64", "bf16"})


def byte_count(dtype: str, size: int) -> int:
    """Return the bytes that ``size`` numbers take in a file.

    >>> byte_count("uint6", 3), byte_count("fp16", 3)
    (3, 6)
    """
    if dtype in SUB_BYTE_BITS:
        return -(-size * SUB_BYTE_BITS[dtype] // 8)
    return size * (2 if dtype == "bf16" else NUMPY[dtype].itemsize)


def unpack_bits(packed: Array, dtype: str, size: int) -> Array:
    """Unpack numbers of less than a byte, to one a byte.

    Parameters
    ----------
    packed : uint8[bytes]
    dtype : str
        A key of `SUB_BYTE_BITS`.
    size : int

    Returns
    -------
    uint8[size], or int8[size] for int4

    >>> unpack_bits(np.array([0b11_100_001, 0b1], np.uint8), "uint3", 3)
    array([1, 4, 7], dtype=uint8)
    """
    bits = SUB_BYTE_BITS[dtype]
    spread = np.unpackbits(packed, bitorder="little")[: size * bits].reshape(size, bits)
    numbers = np.packbits(spread, axis=1, bitorder="little").reshape(size)
    return ((numbers ^ 8).astype(np.int8) - np.int8(8)) if dtype == "int4" else numbers


def largest_tensor_bytes() -> int:
    """Return the most bytes that one value may take: half of this machine's memory.

    A program that asks for more is damaged, or for another machine.
    """
    return total_memory() // 2


def size_of(shape: tuple[int, ...]) -> int:
    """Return how many numbers an array of this shape has."""
    return math.prod(shape)

"""Digests of what is computed, and the numbers that checks begin with: both the same on every machine."""

import hashlib
from typing import Any

import numpy as np

from sdrt.arrays import F32

__all__ = ["digest", "numbers", "total"]

_LENGTH = 16  # hexadecimal digits of a stage: enough to tell two results apart, and short in a table of some thousand


def digest(*values: Any) -> str:
    """Return the first 16 digits of the SHA-256 of arrays, with dtypes and shapes, and of the text of anything else."""
    sha = hashlib.sha256()
    for value in values:
        if isinstance(value, bytes):
            sha.update(value)
        elif isinstance(value, np.ndarray):
            # little-endian on every machine
            sha.update(f"{value.dtype.name} {value.shape}".encode() + value.astype(value.dtype.newbyteorder("<")).tobytes())
        else:
            sha.update(repr(value).encode())
    return sha.hexdigest()[:_LENGTH]


def total(stages: dict[str, str]) -> str:
    """Return the SHA-256 of the digests of all stages, in their order."""
    return hashlib.sha256("\n".join(f"{name} {each}" for name, each in stages.items()).encode()).hexdigest()


def numbers(shape: tuple[int, ...], seed: int) -> F32:
    """Return evenly spread numbers in [-2, 2), float32: a multiplicative sequence of integers, scaled by a power of two."""
    count = int(np.prod(shape, dtype=np.int64))
    words = (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(seed) * np.uint64(40503)) % np.uint64(2**32)
    words = (words * np.uint64(1664525) + np.uint64(1013904223)) % np.uint64(2**32)
    return ((words >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-22) - np.float32(2)).reshape(shape)

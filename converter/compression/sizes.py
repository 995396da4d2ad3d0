"""What weights take in a weight file, before they are written."""

from collections.abc import Mapping
from math import ceil, prod

from converter.compression.weights import Weight

__all__ = ["PLAIN", "palettized_bytes", "plain_bytes", "total_bytes"]

PLAIN = 16
"""Stands among numbers of bits for a weight that stays as it is; float32 ones are called so too."""

_ITEM = {"fp16": 2, "fp32": 4}
_SMALLEST_RECORD = 10  # coremltools writes fewer numbers into the program


def plain_bytes(weight: Weight) -> int:
    """Of a weight as it is."""
    return _record(prod(weight.shape) * _ITEM[weight.dtype])


def palettized_bytes(weight: Weight, nbits: int) -> int:
    """Of its indices and its palette."""
    palette = (1 << nbits) if (1 << nbits) >= _SMALLEST_RECORD else 0
    return _record(ceil(prod(weight.shape) * nbits / 8)) + (_record(palette * _ITEM[weight.dtype]) if palette else 0)


def total_bytes(whole: int, weights: Mapping[Weight, int]) -> int:
    """Of a weight file that has ``whole`` bytes with plain weights, when these have so many bits instead.

    Up to 63 bytes more than it will have: nothing aligns what comes after its last record.
    """
    return ceil(whole / 64) * 64 - sum(
        plain_bytes(weight) - palettized_bytes(weight, bits) for weight, bits in weights.items() if bits != PLAIN
    )


def _record(size: int) -> int:
    """A header, and numbers up to where the next record is aligned."""
    return 64 + ceil(size / 64) * 64

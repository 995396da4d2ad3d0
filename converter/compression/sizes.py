"""Compute the size of weights in a weight file before they are written."""

from collections.abc import Mapping
from math import ceil, prod

from converter.compression.weights import Weight

__all__ = ["PLAIN", "palettized_bytes", "plain_bytes", "total_bytes"]

PLAIN = 16
"""The number of bits that represents an uncompressed weight, even if it is float32."""

_ITEM = {"fp16": 2, "fp32": 4}
_SMALLEST_RECORD = 10  # coremltools writes smaller arrays into the program


def plain_bytes(weight: Weight) -> int:
    """Return the size of an uncompressed weight."""
    return _record(prod(weight.shape) * _ITEM[weight.dtype])


def palettized_bytes(weight: Weight, nbits: int) -> int:
    """Return the size of a weight's indices and palette."""
    palette = (1 << nbits) if (1 << nbits) >= _SMALLEST_RECORD else 0
    return _record(ceil(prod(weight.shape) * nbits / 8)) + (_record(palette * _ITEM[weight.dtype]) if palette else 0)


def total_bytes(whole: int, weights: Mapping[Weight, int]) -> int:
    """Return the size of a weight file that has ``whole`` bytes uncompressed, if these weights have the given numbers of bits.

    Up to 63 bytes too large, since the last record is not padded.
    """
    return ceil(whole / 64) * 64 - sum(
        plain_bytes(weight) - palettized_bytes(weight, bits) for weight, bits in weights.items() if bits != PLAIN
    )


def _record(size: int) -> int:
    """Return the size of a record: a header, and numbers padded up to the next record."""
    return 64 + ceil(size / 64) * 64

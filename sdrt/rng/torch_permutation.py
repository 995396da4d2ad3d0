"""``torch.randperm`` on a CPU: one of two shuffles, by size.

Source: ``randperm_cpu`` in ATen/native/TensorFactories.cpp of torch 2.13.
"""

import numpy as np
import numpy.typing as npt

from sdrt.rng.mt19937 import Mt19937

__all__ = ["permutation"]

# From this size on, the remainder of a 32-bit word would be visibly uneven: positions use 64-bit words, and another shuffle.
_WIDE = (2**32 - 1) // 20
_BLOCK = 1 << 20  # positions at a time, since they pass through Python lists


def permutation(engine: Mt19937, n: int) -> npt.NDArray[np.int64]:
    """Shuffle 0 ... n-1, n >= 0, with words of this engine; i64[n]."""
    result = np.arange(n, dtype=np.int64)
    if n < _WIDE:
        _swap_forward(engine, result)
    else:
        _grow(engine, result)
    return result


def _swap_forward(engine: Mt19937, result: npt.NDArray[np.int64]) -> None:
    """Fisher-Yates from the front: swap each position except the last with itself or a later one."""
    n = len(result)
    places = result.data  # a memoryview reads and writes single numbers fastest
    for start in range(0, n - 1, _BLOCK):
        positions = np.arange(start, min(start + _BLOCK, n - 1))
        partners = positions + engine.words(len(positions)) % (n - positions)
        for i, partner in enumerate(partners.tolist(), start):
            places[i], places[partner] = places[partner], places[i]


def _grow(engine: Mt19937, result: npt.NDArray[np.int64]) -> None:
    """Fisher-Yates inside out: each number takes a position up to its own, and the number that was there moves to the end."""
    n = len(result)
    places = result.data
    for start in range(0, n, _BLOCK):
        counts = np.arange(start + 1, min(start + _BLOCK, n) + 1, dtype=np.uint64)
        partners = engine.wide_words(len(counts)) % counts
        for i, partner in enumerate(partners.tolist(), start):
            places[i] = places[partner]
            places[partner] = i

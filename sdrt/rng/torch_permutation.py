"""``torch.randperm`` on a CPU: two shuffles, by size.

Source: ``randperm_cpu`` in ATen/native/TensorFactories.cpp of torch 2.13.
"""

import numpy as np
import numpy.typing as npt

from sdrt.rng.mt19937 import Mt19937

__all__ = ["permutation"]

_WIDE = (
    2**32 - 1
) // 20  # from here on a remainder of 32 bits would be visibly uneven: a place takes a 64-bit word, and the shuffle is another
_BLOCK = 1 << 20  # places at a time: they pass through Python lists


def permutation(engine: Mt19937, n: int) -> npt.NDArray[np.int64]:
    """Shuffle 0 ... n-1, n >= 0, with words of this engine; i64[n]."""
    result = np.arange(n, dtype=np.int64)
    if n < _WIDE:
        _swap_forward(engine, result)
    else:
        _grow(engine, result)
    return result


def _swap_forward(engine: Mt19937, result: npt.NDArray[np.int64]) -> None:
    """Fisher-Yates from the front: each place but the last changes with one not before it."""
    n = len(result)
    places = result.data  # a memoryview reads and writes single numbers fastest
    for start in range(0, n - 1, _BLOCK):
        here = np.arange(start, min(start + _BLOCK, n - 1))
        others = here + engine.words(len(here)) % (n - here)
        for i, other in enumerate(others.tolist(), start):
            places[i], places[other] = places[other], places[i]


def _grow(engine: Mt19937, result: npt.NDArray[np.int64]) -> None:
    """Fisher-Yates inside out: each number takes a place up to its own, and what stood there moves to the end."""
    n = len(result)
    places = result.data
    for start in range(0, n, _BLOCK):
        counts = np.arange(start + 1, min(start + _BLOCK, n) + 1, dtype=np.uint64)
        others = engine.wide_words(len(counts)) % counts
        for i, other in enumerate(others.tolist(), start):
            places[i] = places[other]
            places[other] = i

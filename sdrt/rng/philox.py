"""The counter-based generator Philox 4x32-10: the engine of CUDA's random numbers.

Source: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3 and table 2 (Random123).
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["philox4x32"]

U32: TypeAlias = npt.NDArray[np.uint32]

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # golden ratio, sqrt(3) - 1
_ROUNDS = 10
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox4x32(counters: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike], key: int, size: int) -> U32:
    """Encrypt counters with a key.

    Parameters
    ----------
    counters : four words, each an integer below 2**32 or integers[size] below 2**32
        The first is the counter's lowest word.
    key : int, 0 <= key < 2**64
    size : int
        Number of counters.

    Returns
    -------
    u32[4,size], four words from each counter

    >>> [f"{int(word):08x}" for word in philox4x32((0, 0, 0, 0), 0, 1).ravel()]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    # 64-bit cells hold whole products of 32-bit numbers. A word shared by all counters stays a scalar for the first rounds.
    a, b, c, d = (np.asarray(word).astype(np.uint64)[()] for word in counters)
    low, high = key & 0xFFFFFFFF, key >> 32
    for _ in range(_ROUNDS):
        p, q = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, c = q >> _HALF, p >> _HALF
        a ^= b
        a ^= np.uint64(low)
        c ^= d
        c ^= np.uint64(high)
        b, d = q & _LOW, p & _LOW
        low, high = (low + _KEY_STEPS[0]) & 0xFFFFFFFF, (high + _KEY_STEPS[1]) & 0xFFFFFFFF
    words = np.empty((4, size), np.uint32)
    for row, word in zip(words, (a, b, c, d), strict=True):
        row[...] = word
    return words

"""The counter-based generator Philox 4x32-10: the engine of CUDA's random numbers.

Source: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3 and table 2 (Random123).
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["philox4x32"]

U32: TypeAlias = npt.NDArray[np.uint32]

_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], np.uint64)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # golden ratio, sqrt(3) - 1
_ROUNDS = 10
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox4x32(counters: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike], key: int, size: int) -> U32:
    """Encrypt counters with a key.

    Parameters
    ----------
    counters : four words, each an integer below 2**32 or u32[size]
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
    # Rows: words 0 and 2, which are multiplied; words 1 and 3, which are mixed in. 64-bit cells hold whole products of 32-bit numbers.
    even, odd, product = np.empty((3, 2, size), np.uint64)
    even[0], odd[0], even[1], odd[1] = counters
    low, high = key & 0xFFFFFFFF, key >> 32
    for _ in range(_ROUNDS):
        np.multiply(even, _MULTIPLIERS, out=product)
        np.right_shift(product[::-1], _HALF, out=even)
        np.bitwise_xor(even, odd, out=even)
        np.bitwise_xor(even, np.array([[low], [high]], np.uint64), out=even)
        np.bitwise_and(product[::-1], _LOW, out=odd)
        low, high = (low + _KEY_STEPS[0]) & 0xFFFFFFFF, (high + _KEY_STEPS[1]) & 0xFFFFFFFF
    words = np.empty((4, size), np.uint32)
    words[0::2], words[1::2] = even, odd
    return words

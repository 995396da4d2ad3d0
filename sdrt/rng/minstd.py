"""The generator ``minstd_rand0`` of the C++ standard: x' = 16807 x mod 2**31 - 1, which libstdc++ calls ``default_random_engine``.

Source: ISO C++ [rand.predef] and [rand.eng.lcong]; Park and Miller 1988, "Random number generators: good ones are hard to find".
"""

from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["LAST_WORD", "Minstd"]

_MULTIPLIER, _MODULUS = 16807, 2**31 - 1
LAST_WORD = _MODULUS - 1  # the largest word; the smallest is 1
_BLOCK = 4096  # words made at a time: a product of two words has 62 bits, and fits


class Minstd:
    """The words of one seed, in order.

    Parameters
    ----------
    seed : int, at least 0
        Taken modulo 2**31 - 1; a seed that leaves 0 is 1.

    >>> int(Minstd(1).words(10_000)[-1])  # the ten-thousandth, which the C++ standard states
    1043618065
    """

    def __init__(self, seed: int) -> None:
        self.word = seed % _MODULUS or 1  # the last one that was drawn

    def words(self, count: int) -> npt.NDArray[np.uint64]:
        """Return the next words, u64[count], each from 1 to 2**31 - 2."""
        out = np.empty(count, np.uint64)
        for start in range(0, count, _BLOCK):
            part = out[start : start + _BLOCK]
            part[:] = np.uint64(self.word) * _powers()[: len(part)] % np.uint64(_MODULUS)
            self.word = int(part[-1])
        return out


@cache
def _powers() -> npt.NDArray[np.uint64]:
    powers = [_MULTIPLIER]
    while len(powers) < _BLOCK:
        powers.append(powers[-1] * _MULTIPLIER % _MODULUS)
    return np.array(powers, np.uint64)

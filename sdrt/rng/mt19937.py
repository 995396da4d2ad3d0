"""The Mersenne twister MT19937 as a source of 32-bit words: the engine of numpy's legacy streams and of torch's CPU generator.

Source: Matsumoto and Nishimura 1998, "Mersenne Twister", the reference code's ``init_genrand`` seeding. numpy's ``RandomState``, frozen by
NEP 19, holds that very engine and hands out its raw words; this module asks it for nothing else.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["Mt19937"]


class Mt19937:
    """The words of one seed, in order.

    Parameters
    ----------
    seed : int, 0 <= seed < 2**32

    >>> Mt19937(5489).words(3)
    array([3499211612,  581869302, 3890346734], dtype=uint32)
    """

    def __init__(self, seed: int) -> None:
        self._source = np.random.RandomState(seed)

    def words(self, count: int) -> npt.NDArray[np.uint32]:
        """Return the next words, u32[count]."""
        # A range of the full 32 bits makes numpy hand out raw words, one each, without rejection.
        return self._source.randint(0, 1 << 32, size=count, dtype=np.uint32)

    def doubles(self, count: int) -> list[float]:
        """Return the next ``count`` uniforms of [0, 1) with 53 bits, two words each: the first is the high half."""
        words = self.words(2 * count).tolist()
        return [(((high << 32) | low) & ((1 << 53) - 1)) * 2.0**-53 for high, low in zip(words[::2], words[1::2], strict=True)]

"""The Mersenne twister MT19937 as a source of 32-bit words: the engine of numpy's legacy streams and of torch's CPU generator.

Source: Matsumoto and Nishimura 1998, "Mersenne Twister", the reference code's ``init_genrand`` seeding. numpy's ``RandomState``, frozen by
NEP 19, contains this engine and returns its raw words; nothing else of it is used here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Mt19937"]

_SKIP = 1 << 16  # words discarded at a time, which avoids a long array


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
        # With a range of the full 32 bits numpy returns raw words, one for each number, without rejection.
        return self._source.randint(0, 1 << 32, size=count, dtype=np.uint32)

    def wide_words(self, count: int) -> npt.NDArray[np.uint64]:
        """Return the next ``count`` 64-bit words, made of two words each: the first is the high half."""
        pairs = self.words(2 * count).astype(np.uint64)
        return (pairs[0::2] << np.uint64(32)) | pairs[1::2]

    def skip(self, count: int) -> None:
        """Discard the next ``count`` words."""
        for start in range(0, count, _SKIP):
            self.words(min(_SKIP, count - start))

    def state(self) -> dict[str, Any]:
        """Return the engine's 624 words and its position among them, as plain numbers."""
        inner = self._source.get_state(legacy=False)["state"]
        return {"key": inner["key"].tolist(), "position": int(inner["pos"])}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned, its entries already checked."""
        self._source.set_state(legacy_state(state))


def legacy_state(state: Mapping[str, Any], gauss: float | None = None) -> dict[str, Any]:
    """Convert a state of `Mt19937` into the form that ``RandomState.set_state`` takes; ``gauss`` is the normal held back, if any."""
    engine = {"key": np.array(state["key"], np.uint32), "pos": state["position"]}
    return {"bit_generator": "MT19937", "state": engine, "has_gauss": int(gauss is not None), "gauss": 0.0 if gauss is None else gauss}

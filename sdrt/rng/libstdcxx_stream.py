"""The stream ``libstdc++``: ``std::normal_distribution<float>`` over ``std::default_random_engine``, as GCC's library has them.

stable-diffusion.cpp draws so with ``--rng std_default``. The C++ standard leaves engine and method open: other libraries (LLVM's,
Microsoft's) draw other numbers.

Source: bits/random.tcc of GCC 12, ``generate_canonical`` and ``normal_distribution``, with glibc's ``logf``: Marsaglia's polar method in
float32. A point of two uniforms in a square is drawn again where it lies outside the unit circle. A point gives two normals, the second
coordinate's first. A draw that ends between the two drops the other, since the program makes a new distribution for each draw.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdrt.arrays import F32, Float, Numerics
from sdrt.rng.base import SeededStream, State, read_state
from sdrt.rng.glibc_log import log_float32
from sdrt.rng.minstd import LAST_WORD, Minstd
from sdrt.rng.precision import to_dtype
from sdrt.values import Anything, Integer

__all__ = ["LibstdcxxStream"]

_ACCEPTED = 0.78  # the share of points within the circle, rounded down
_BELOW_1 = np.nextafter(np.float32(1), np.float32(0))


class LibstdcxxStream(SeededStream):
    """libstdc++'s normals: the same under every ``numerics``, since no function of the platform takes part.

    It draws float32. float64 has the same values, float16 and bfloat16 have them rounded.

    Parameters
    ----------
    seed : int, 0 <= seed < 2**64
        Of which the program keeps the low 32 bits.

    Raises
    ------
    ConfigError : the seed is outside that range
    """

    name = "libstdc++"
    seed_range = (0, 2**64 - 1)

    def __init__(self, seed: int, *, numerics: Numerics = "float32") -> None:
        super().__init__(seed, numerics=numerics)
        self._engine = Minstd(self.seed & 0xFFFFFFFF)

    def _draw(self, size: int, dims: tuple[int, ...], dtype: str) -> Float:  # noqa: ARG002
        """Return what one ``randn(size)`` of stable-diffusion.cpp would give at this point."""
        values = _pairs(self._engine, -(-size // 2)).reshape(-1)[:size]
        return values.astype(np.float64) if dtype == "float64" else to_dtype(values, dtype)

    def _cursor(self) -> State:
        return {"word": self._engine.word}

    def _resume(self, state: Mapping[str, Any]) -> None:
        seed, cursor = read_state(self.name, state, {"seed": Integer(*self.seed_range), "cursor": Anything()}).values()
        word = read_state(self.name, cursor, {"word": Integer(1, LAST_WORD)})["word"]
        self.seed, self._engine.word = seed, word


def _pairs(engine: Minstd, count: int) -> F32:
    """Draw pairs of normals in the order in which they are handed out: f32[count, 2]."""
    pairs: list[F32] = []
    while count:
        before, attempts = engine.word, int(count / _ACCEPTED) + 8
        points = np.float32(2) * _uniforms(engine, 2 * attempts).reshape(-1, 2) - np.float32(1)
        squares = points[:, 0] * points[:, 0] + points[:, 1] * points[:, 1]
        accepted = np.flatnonzero((squares <= 1) & (squares != 0))[:count]
        if len(accepted) == count:  # the points after the last that is needed belong to the next draw
            engine.word = before
            engine.words(2 * (int(accepted[-1]) + 1))
        squares = squares[accepted]
        factors = np.sqrt(np.float32(-2) * log_float32(squares) / squares)
        pairs.append(factors[:, None] * points[accepted][:, ::-1])
        count -= len(accepted)
    return np.concatenate([np.empty((0, 2), np.float32), *pairs])


def _uniforms(engine: Minstd, count: int) -> F32:
    """Draw uniforms in [0, 1), f32[count], one from each word: the largest words round to 1, which is not one of them."""
    uniforms = (engine.words(count) - np.uint64(1)).astype(np.float32) * np.float32(2**-31)
    below_1: F32 = np.minimum(uniforms, _BELOW_1)
    return below_1

"""The stream ``numpy``: the legacy ``numpy.random.RandomState.randn``, frozen by NEP 19, which Apple's Core ML pipelines use."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdrt.arrays import Float, Numerics
from sdrt.rng.base import MT_WORDS, SeededStream, State, read_state
from sdrt.rng.mt19937 import legacy_state
from sdrt.rng.polar import polar_normals
from sdrt.rng.precision import to_dtype
from sdrt.values import Anything, Integer, Nullable, Number

__all__ = ["NumpyStream"]


class NumpyStream(SeededStream):
    """``RandomState(seed).randn``: numpy's own polar Box-Muller over MT19937.

    It draws float64. float32 and float16 are those numbers rounded once (Apple's Python pipeline starts from float16 latents); bfloat16 is
    rounded from float32.

    Parameters
    ----------
    seed : int, 0 <= seed < 2**32

    Raises
    ------
    ConfigError : the seed is outside that range
    """

    name = "numpy"
    seed_range = (0, 2**32 - 1)

    def __init__(self, seed: int, *, numerics: Numerics = "float32") -> None:
        super().__init__(seed, numerics=numerics)
        self._source = np.random.RandomState(seed)

    def _draw(self, size: int, dims: tuple[int, ...], dtype: str) -> Float:  # noqa: ARG002
        """Return what ``randn(*dims).astype(dtype)`` would give at this point."""
        values = self._source.standard_normal(size) if self.numerics == "float32" else polar_normals(self._source, size)
        return to_dtype(values.astype(np.float32), dtype) if dtype == "bfloat16" else values.astype(dtype, copy=False)

    def _cursor(self) -> State:
        inner = self._source.get_state(legacy=False)
        words = {"key": inner["state"]["key"].tolist(), "position": int(inner["state"]["pos"])}
        return {"words": words, "spare": float(inner["gauss"]) if inner["has_gauss"] else None}

    def _resume(self, state: Mapping[str, Any]) -> None:
        seed, cursor = read_state(self.name, state, {"seed": Integer(*self.seed_range), "cursor": Anything()}).values()
        words, spare = read_state(self.name, cursor, {"words": Anything(), "spare": Nullable(Number())}).values()
        self._source.set_state(legacy_state(read_state(self.name, words, MT_WORDS), spare))
        self.seed = seed

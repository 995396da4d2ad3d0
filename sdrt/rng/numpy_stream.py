"""The stream ``numpy``: the legacy ``numpy.random.RandomState.randn``, frozen by NEP 19; what Apple's Core ML pipelines draw."""

import numpy as np

from sdrt.arrays import F32
from sdrt.rng.base import Shape, seed_error, size_and_shape

__all__ = ["NumpyStream"]

_HIGHEST = 2**32 - 1


class NumpyStream:
    """``RandomState(seed).randn`` rounded to float32: polar Box-Muller over MT19937, which numpy itself holds.

    Parameters
    ----------
    seed : int, 0 <= seed < 2**32

    Raises
    ------
    ConfigError : the seed is outside that range
    """

    name = "numpy"

    def __init__(self, seed: int) -> None:
        if not 0 <= seed <= _HIGHEST:
            raise seed_error(self.name, seed, 0, _HIGHEST)
        self.seed = seed
        self._source = np.random.RandomState(seed)

    def normal(self, shape: Shape) -> F32:
        """Draw f32 of this shape: ``randn(*shape).astype(float32)``."""
        size, dims = size_and_shape(shape)
        return self._source.standard_normal(size).astype(np.float32).reshape(dims)

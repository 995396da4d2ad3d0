"""Memory of one thread that kernels use again and again."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sdrt.arrays import Float

__all__ = ["Scratch"]


class Scratch:
    """Memory that is used again and again, by name. What `take` returns is valid until the same name is taken again in this thread."""

    def __init__(self) -> None:
        self._buffers: dict[str, npt.NDArray[np.uint8]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Float:
        """Return an array of this shape, C-contiguous and not initialised."""
        count = dtype.itemsize
        for size in shape:
            count *= size
        buffer = self._buffers.get(name)
        if buffer is None or buffer.nbytes < count:
            buffer = self._buffers[name] = np.empty(count, np.uint8)
        return np.ndarray(shape, dtype, buffer)

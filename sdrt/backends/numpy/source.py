"""Where a module finds its weights: the tensors below one path, in the dtype that the network computes in."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdrt.arrays import Float
from sdrt.models.weights import Weights

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """The weights below ``path``.

    Parameters
    ----------
    weights : Weights
    dtype : float32 or float64
    path : str
        A module's path in diffusers, without a dot at the end; empty for the root.
    """

    weights: Weights
    dtype: np.dtype[Any]
    path: str = ""

    def at(self, *names: str | int) -> "Source":
        """The weights of a module below this one."""
        return replace(self, path=".".join(map(str, (self.path, *names) if self.path else names)))

    def take(self, name: str, *shape: int) -> Float:
        """A tensor of this module in the network's dtype; a view of the file where it has that dtype already.

        Raises
        ------
        WeightsError : it is missing, of another shape, or not finite
        """
        found: Float = self.weights.take(f"{self.path}.{name}" if self.path else name, shape)
        return found.astype(self.dtype, copy=False)

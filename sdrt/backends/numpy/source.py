"""Where a module finds its weights: the tensors below one path, in the dtype that the network computes in."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.arithmetic import FLOATING, Arithmetic
from sdrt.models.component_tensors import ComponentTensors

__all__ = ["Mapped", "Source", "Weight", "read"]


@dataclass(frozen=True)
class Source:
    """The weights below ``path``.

    Parameters
    ----------
    weights : ComponentTensors
    dtype : float32 or float64
    path : str
        A module's path in diffusers, without a dot at the end; empty for the root.
    mapped : bool
        Whether the weights of products stay in their file, see `packed`.
    checked : bool
        Whether the tensors are known to fit.
    arithmetic : Arithmetic
        What the network computes with, which decides how products' weights are packed.
    """

    weights: ComponentTensors
    dtype: np.dtype[Any]
    path: str = ""
    mapped: bool = False
    checked: bool = False
    arithmetic: Arithmetic = FLOATING

    def at(self, *names: str | int) -> "Source":
        """Return the weights of a module below this one."""
        return replace(self, path=".".join(map(str, (self.path, *names) if self.path else names)))

    def stored(self, name: str, *shape: int) -> Array:
        """Return a tensor of this module as its file has it, a view of the file.

        Raises
        ------
        WeightsError : it is missing, of another shape, or not finite
        """
        full = f"{self.path}.{name}" if self.path else name
        return self.weights[full].reshape(shape) if self.checked else self.weights.take(full, shape)

    def take(self, name: str, *shape: int) -> Float:
        """Return a tensor of this module in the network's dtype; a view of the file if it has that dtype already.

        Raises
        ------
        WeightsError : it is missing, of another shape, or not finite
        """
        tensor: Float = self.stored(name, *shape).astype(self.dtype, copy=False)
        return tensor

    def packed(self, pack: Callable[["Source"], Float]) -> "Weight":
        """Pack this module's tensors once and for all, or, if weights stay in their file, at each use.

        Raises
        ------
        WeightsError : a tensor does not fit; also where it is to be read later
        """
        array = pack(self)
        if not self.mapped:
            return self.arithmetic.pack(array)
        self.weights.release()
        return Mapped(replace(self, checked=True), pack)


@dataclass(frozen=True)
class Mapped:
    """A weight that stays in its file."""

    source: Source
    pack: Callable[[Source], Float]


# A product's weight in the layout that the product wants.
Weight: TypeAlias = Float | Mapped


def read(weight: Weight) -> Float:
    """Return the numbers; a mapped weight is read and widened here, and the one read before it is released."""
    if not isinstance(weight, Mapped):
        return weight
    weight.source.weights.release()
    return weight.source.arithmetic.pack(weight.pack(weight.source))

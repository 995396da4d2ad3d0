"""The tensors of one layer of a LoRA, by what they are in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ModelError
from sdrt.models.stored_tensor import StoredTensor

__all__ = ["Factors"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Factors:
    """A layer's tensors, checked against the weight that they change before anything is computed.

    Parameters
    ----------
    file : Path
    target : str
        Component and canonical name of the weight, for messages.
    shape : tuple of int
        Of that weight.
    tensors : mapping from factor to StoredTensor
        See `sdrt.models.lora.keys`.
    scale_of : callable
        Gives what the layer is multiplied by, alpha / r, for its rank; None stands for a layer that has none.
    """

    file: Path
    target: str
    shape: tuple[int, ...]
    tensors: Mapping[str, StoredTensor]
    scale_of: Callable[[int | None], float]

    def __contains__(self, factor: object) -> bool:
        return factor in self.tensors

    def shape_of(self, factor: str) -> tuple[int, ...]:
        """Return the shape of a factor."""
        return self.tensors[factor].shape

    def read(self, factor: str, dtype: np.dtype[Any]) -> Float:
        """Read a factor in this dtype."""
        values: Float = self.tensors[factor].array().astype(dtype, copy=False)
        return values

    def need(self, halves: Mapping[str, str]) -> None:
        """Check that factors are there.

        Parameters
        ----------
        halves : mapping from factor to what messages call it

        Raises
        ------
        ModelError : one is missing
        """
        if missing := [name for factor, name in halves.items() if factor not in self.tensors]:
            raise ModelError(f"{self.where} lacks its {' and '.join(missing)} half; the file is damaged")

    def rank(self, factor: str, axis: int) -> int:
        """Return the rank, which is the size of a factor along this axis.

        Raises
        ------
        ModelError : the factor has no such axis, or the rank is 0
        """
        shape = self.shape_of(factor)
        if len(shape) <= axis:
            raise self.misfit()
        if not shape[axis]:
            raise ModelError(f"{self.where} must have a rank of at least 1, got 0; the file is damaged")
        return shape[axis]

    def check(self, fits: bool) -> None:
        """Raise ModelError unless the factors fit the weight."""
        if not fits:
            raise self.misfit()

    def misfit(self) -> ModelError:
        """Return the error of factors that do not fit the weight."""
        shapes = [list(tensor.shape) for factor, tensor in self.tensors.items() if factor != "alpha"]
        return ModelError(f"{self.where} has shapes {shapes}, which do not fit the weight's {list(self.shape)}; it is for another model")

    @property
    def where(self) -> str:
        """The layer, for messages."""
        return f"{self.file}: the layer for {self.target}"

"""A module of diffusers or transformers under the names of the contract."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from sdrt.arrays import Array

__all__ = ["Adapter"]


class Adapter(nn.Module):
    """``forward`` takes the inputs of a component's signature by name, and gives its outputs as a tuple in the signature's order.

    Inputs named in ``exact`` come in the dtype of the seam, the others in the module's own.
    """

    exact: ClassVar[frozenset[str]] = frozenset()

    def refuse(self, inputs: Mapping[str, Array]) -> None:
        """Raise ArrayContractError for values that the module would stumble over."""

    def prepare(self, constants: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Compute what a bound network keeps in place of these inputs: what depends on them alone."""
        return constants

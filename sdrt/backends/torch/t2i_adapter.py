"""T2I-Adapters."""

from collections.abc import Mapping

import torch
from torch import nn

from sdrt.arrays import Array
from sdrt.backends.torch.adapter import Adapter
from sdrt.errors import ArrayContractError

__all__ = ["Features"]


class Features(Adapter):
    """T2IAdapter, whose features are the outputs.

    Parameters
    ----------
    module : T2IAdapter
    square : int
        The side of the squares whose pixels become channels.
    """

    def __init__(self, module: nn.Module, square: int) -> None:
        super().__init__()
        self.module, self.square = module, square

    def refuse(self, inputs: Mapping[str, Array]) -> None:
        """Refuse a picture whose sides are no multiples of the squares that become channels."""
        if "image" not in inputs:
            return
        square, (height, width) = self.square, inputs["image"].shape[2:]
        if height % square or width % square:
            raise ArrayContractError(f"input: image must have sides in multiples of {square}, got {height}x{width}; pass such a picture")

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.module(image))

"""A network that is ready to be traced."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from converter.interface import Tensor
from converter.options import ComputeUnit, Precision
from sdrt.arrays import Array
from sdrt.models.coreml.names import Role

__all__ = ["Part", "Reference", "called"]

# The source's own network under the package's names: what a conversion is compared with.
Reference: TypeAlias = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A module with the inputs and outputs of its package.

    Parameters
    ----------
    role : Role
    module : nn.Module
        Takes the inputs in their order, and gives the outputs in theirs, as a tuple.
    inputs, outputs : tuple of Tensor
    precision : "float16" or "float32"
        Of computation.
    compute_unit : ComputeUnit or None
        Where this part has to run; None leaves it to the options.
    """

    role: Role
    module: nn.Module
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    precision: Precision
    compute_unit: ComputeUnit | None = None

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Inputs to trace with, as float32."""
        generator = torch.Generator().manual_seed(0)
        return tuple(_example(tensor, generator) for tensor in self.inputs)


def _example(tensor: Tensor, generator: torch.Generator) -> torch.Tensor:
    # ids of tokens and steps have to be such; what the others are is all one
    if tensor.name in ("input_ids", "timestep", "time_ids"):
        return torch.ones(tensor.shape)
    return torch.randn(tensor.shape, generator=generator)


def called(module: nn.Module, inputs: Mapping[str, Array], outputs: tuple[Tensor, ...]) -> dict[str, Array]:
    """A module's outputs for named inputs in their order, by name."""
    with torch.no_grad():
        found = module(*(torch.from_numpy(x) for x in inputs.values()))
    return {tensor.name: x.numpy() for tensor, x in zip(outputs, found, strict=True)}

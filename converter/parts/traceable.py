"""A network ready to be traced, with the inputs and outputs of its package."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from converter.interface import Tensor
from converter.options import ComputeUnit, Precision
from sdrt.arrays import Array
from sdrt.models.coreml.names import Role

__all__ = ["TraceablePart", "call_module"]


@dataclass(frozen=True, kw_only=True)
class TraceablePart:
    """A module with the inputs and outputs of its package.

    Parameters
    ----------
    role : Role
    module : nn.Module
        Takes the inputs in their order, and returns the outputs in theirs, as a tuple.
    inputs, outputs : tuple of Tensor
    precision : "float16" or "float32"
        The precision of computation.
    compute_unit : ComputeUnit or None
        The unit that this part has to run on; None leaves it to the options.
    """

    role: Role
    module: nn.Module
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    precision: Precision
    compute_unit: ComputeUnit | None = None

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Return inputs to trace with, as float32."""
        generator = torch.Generator().manual_seed(0)
        return tuple(_example(tensor, generator) for tensor in self.inputs)


def _example(tensor: Tensor, generator: torch.Generator) -> torch.Tensor:
    # Ids of tokens and steps must be valid; the other inputs may hold any values.
    if tensor.name in ("input_ids", "timestep", "time_ids"):
        return torch.ones(tensor.shape)
    return torch.randn(tensor.shape, generator=generator)


def call_module(module: nn.Module, inputs: Mapping[str, Array], outputs: tuple[Tensor, ...]) -> dict[str, Array]:
    """Call a module with named inputs, in their order, and return its outputs by name."""
    with torch.no_grad():
        values = module(*(torch.from_numpy(x) for x in inputs.values()))
    return {tensor.name: x.numpy() for tensor, x in zip(outputs, values, strict=True)}

"""A module of diffusers or transformers under the names of the contract."""

import copy
from collections.abc import Mapping
from typing import ClassVar, Self, TypeVar

import torch
from torch import nn

from sdrt.arrays import Array
from sdrt.backends.component_options import ComponentOptions

__all__ = ["Adapter", "sharing_tensors"]

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Adapter(nn.Module):
    """``forward`` takes the inputs of a component's signature by name, and gives its outputs as a tuple in the signature's order.

    Inputs named in ``exact`` come in the dtype of the seam, the others in the module's own.
    """

    exact: ClassVar[frozenset[str]] = frozenset()

    def with_options(self, options: ComponentOptions) -> Self:  # noqa: ARG002 for the components that have any
        """Return the module that these options make of this one, which has none, with its tensors: this one stays as it is."""
        return self

    def refuse(self, inputs: Mapping[str, Array]) -> None:
        """Raise ArrayContractError for values that the module would stumble over."""

    def prepare(self, constants: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Compute what a bound network keeps in place of these inputs: what depends on them alone."""
        return constants


def sharing_tensors(module: ModuleT) -> ModuleT:
    """Copy a module and all inside it, but not its tensors: what is set or hooked in the copy, calls of the original never see."""
    return copy.deepcopy(module, {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())})

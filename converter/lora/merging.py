"""Add a LoRA to the weights of a module."""

from collections.abc import Iterable

import torch
from torch import nn

from sdrt.backends.torch.filling import parameters_by_name
from sdrt.models.components import ComponentName
from sdrt.models.lora.layers import Layer, ReadFactor

__all__ = ["merge"]


def merge(module: nn.Module, component: ComponentName, layers: Iterable[Layer], strength: float) -> None:
    """Add a LoRA to the weights of a module, layer by layer.

    Parameters
    ----------
    module : nn.Module
        A component's adapter, made by `sdrt.backends.torch.construction.open_module`.
    component : ComponentName
    layers : iterable of Layer
        Each names an existing weight; `sdrt.models.lora.open_lora` has checked that.
    strength : float
    """
    weights = parameters_by_name(module, component)
    with torch.no_grad():
        for layer in layers:
            weight = weights[layer.weight]
            weight.add_(_product(layer).reshape(weight.shape), alpha=strength * layer.scale)


def _product(layer: Layer) -> torch.Tensor:
    down, up = _tensor(layer.down), _tensor(layer.up).flatten(1)
    if layer.middle is not None:
        return torch.einsum("or,rskl,si->oikl", up, _tensor(layer.middle), down.flatten(1))
    return torch.einsum("or,r...->o...", up, down)


def _tensor(read: ReadFactor) -> torch.Tensor:
    return torch.from_numpy(read().astype("float32"))

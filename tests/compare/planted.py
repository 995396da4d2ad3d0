"""Departures planted into torch's modules, each the kind of mistake that ports make."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import nn

from sdrt.backends.torch.tracing import module_paths
from sdrt.pipeline.pipeline import Pipeline

__all__ = ["plant"]

Plant = Callable[[nn.Module], None]


@contextmanager
def plant(pipe: Pipeline, component: Any, path: str, mistake: Plant) -> Iterator[None]:
    """Make a mistake in a copy of one module of a pipeline on torch, and put the copy in its place."""
    network: Any = pipe._assembly.base.networks.get(component).network
    adapter = network._adapter
    owner, _, name = module_paths(component, adapter)[path].rpartition(".")
    parent, module = adapter.get_submodule(owner), adapter.get_submodule(f"{owner}.{name}")
    wrong = copy.deepcopy(module)
    with torch.no_grad():
        mistake(wrong)
    setattr(parent, name, wrong)
    try:
        yield
    finally:
        setattr(parent, name, module)


def one_weight(module: Any) -> None:
    """One weight of a product, one per cent larger: its largest, since a weight near zero decides nothing."""
    weight = module.weight
    place = np.unravel_index(int(weight.abs().argmax()), weight.shape)
    weight[place] *= 1.01


def all_weights(module: Any) -> None:
    module.weight *= 1.01


def epsilon(module: Any) -> None:
    """1e-3 for 1e-5 or 1e-6."""
    module.eps = 1e-3


def no_scale(module: Any) -> None:
    """Attention without its 1/sqrt(d)."""
    module.scale = 1.0
    if hasattr(module, "set_processor"):
        module.set_processor(AttnProcessor())


def half(module: nn.Module) -> None:
    """A value in float16 where float32 was promised."""
    module.register_forward_hook(lambda _, __, output: output.half().float())


def swapped_gate(module: Any) -> None:
    """GEGLU whose halves are swapped."""

    class Swapped(type(module)):  # type: ignore[misc]  # a class of its own, which a copy of the module keeps
        def forward(self, hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            value, gate = self.proj(hidden_states).chunk(2, dim=-1)
            return gate * self.gelu(value)  # type: ignore[no-any-return]

    module.__class__ = Swapped


def swapped_pixels(module: Any) -> None:
    """Rows and columns of pixels swapped on the way into the transformer's blocks."""

    class Swapped(type(module)):  # type: ignore[misc]
        def _operate_on_continuous_inputs(self, hidden_states: torch.Tensor) -> Any:
            tokens, width = super()._operate_on_continuous_inputs(hidden_states)
            n, length, channels = tokens.shape
            height = hidden_states.shape[2]
            return tokens.reshape(n, height, length // height, channels).transpose(1, 2).reshape(n, length, channels), width

    module.__class__ = Swapped


def transposed(module: Any) -> None:
    """A square weight transposed."""
    module.weight.copy_(module.weight.T.clone())


def late(module: nn.Module) -> None:
    """Timesteps below 300 off by one."""

    def hook(_: nn.Module, args: tuple[torch.Tensor, ...]) -> Any:
        return (torch.where(args[0] < 300, args[0] + 1, args[0]), *args[1:])

    module.register_forward_pre_hook(hook)

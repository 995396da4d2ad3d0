"""Inner values of a module under diffusers' module paths, by hooks on a copy that shares its weights: calls that run meanwhile see none."""

import copy
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from sdrt.backends.torch.adapter import Adapter
from sdrt.models.components import ComponentName

__all__ = ["module_paths", "trace", "trace_names"]

# What keeps its value for itself: what is no layer, and activations that several layers share.
_SILENT = (nn.ModuleList, nn.Dropout, nn.SiLU, nn.Identity)


def trace_names(component: ComponentName, adapter: Adapter) -> tuple[str, ...]:
    """List the module paths whose values `trace` gives."""
    return tuple(module_paths(component, adapter))


def trace(
    component: ComponentName, adapter: Adapter, inputs: Mapping[str, torch.Tensor], names: Collection[str]
) -> dict[str, torch.Tensor]:
    """Run a module once for the values of these modules inside it.

    Parameters
    ----------
    names : collection of str
        Of those that `trace_names` lists.

    Returns
    -------
    dict of tensors, in the order in which they are made; of what is a tuple, the first
    """
    paths = module_paths(component, adapter)
    copied: Any = copy.deepcopy(adapter, {id(tensor): tensor for tensor in (*adapter.parameters(), *adapter.buffers())})
    # a trace holds the values of all rows together in any case
    copied.row_by_row = False
    values: dict[str, torch.Tensor] = {}
    for name in names:
        copied.get_submodule(paths[name]).register_forward_hook(partial(_record, values, name))
    copied(**inputs)
    return values


def _record(values: dict[str, torch.Tensor], name: str, _: nn.Module, __: Any, output: Any) -> None:
    while not isinstance(output, torch.Tensor):
        output = output[0]
    # the final norm of a text encoder runs a second time where last layers are left out: all layers come first
    values.setdefault(name, output.clone())


def module_paths(component: str, adapter: Adapter) -> dict[str, str]:
    """Map diffusers' paths to those within the adapter."""
    spell = _SPELLINGS.get(component, _plain)
    named = {spell(path): path for path, module in adapter.named_modules() if path and not isinstance(module, _SILENT)}
    return {name: path for name, path in named.items() if name}


def _plain(path: str) -> str:
    """Drop the place where an adapter keeps diffusers' module; the module itself has no name."""
    return path.removeprefix("module").removeprefix(".")


def _text(path: str) -> str:
    """Add what transformers 5 leaves out of one of its two classes."""
    plain = _plain(path)
    return plain if plain.startswith(("text_model", "text_projection")) else f"text_model.{plain}".removesuffix(".")


def _controlnet(path: str) -> str:
    """Name the one module that an adapter takes out of diffusers' own."""
    return f"controlnet_cond_{path}" if path.startswith("embedding") else _plain(path)


_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "controlnet": _controlnet,
    "text_encoder": _text,
    "text_encoder_2": _text,
}

"""Inner values of a module under diffusers' module paths, by hooks on a copy that shares its weights: calls that run meanwhile see none."""

import copy
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from sdrt.backends.torch.adapter import Adapter, sharing_tensors
from sdrt.errors import ArrayContractError
from sdrt.models.components import ComponentName

__all__ = ["module_paths", "trace", "trace_inputs", "trace_names"]

# What keeps its value for itself: what is no layer, and activations that several layers share.
_SILENT = (nn.ModuleList, nn.Dropout, nn.GELU, nn.Mish, nn.ReLU, nn.SiLU, nn.Upsample, nn.Identity)


def trace_names(component: ComponentName, adapter: Adapter) -> tuple[str, ...]:
    """List the module paths whose values `trace` gives."""
    return tuple(module_paths(component, adapter))


def trace_inputs(component: ComponentName, adapter: Adapter) -> tuple[str, ...]:
    """List the module paths whose input `trace` gives under the path and ``.input``: those of layers without others inside."""
    paths = module_paths(component, adapter)
    return tuple(name for name, path in paths.items() if next(adapter.get_submodule(path).children(), None) is None)


def trace(
    component: ComponentName,
    adapter: Adapter,
    inputs: Mapping[str, torch.Tensor],
    names: Collection[str],
    substitutes: Mapping[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Run a module once for the values of these modules inside it.

    Parameters
    ----------
    names : collection of str
        Of those that `trace_names` lists, and of `trace_inputs` with ``.input``.
    substitutes : mapping of tensors
        By names of `trace_names`: what those modules pass on in place of their value.

    Returns
    -------
    dict of tensors, in the order in which they are made; of what is a tuple, the first

    Raises
    ------
    ArrayContractError : a substitute of another shape than the value
    """
    paths = module_paths(component, adapter)
    copied: Any = sharing_tensors(adapter)
    # a trace holds the values of all rows together in any case
    copied.row_by_row = False
    values: dict[str, torch.Tensor] = {}
    for name in names:
        if name in paths:
            copied.get_submodule(paths[name]).register_forward_hook(partial(_record, values, name))
        else:
            copied.get_submodule(paths[name.removesuffix(".input")]).register_forward_pre_hook(partial(_record_input, values, name))
    # behind the hooks that record, so that these see what the module itself computes
    for name, other in substitutes.items():
        copied.get_submodule(paths[name]).register_forward_hook(_Substitute(name, other))
    copied(**inputs)
    return values


def _record(values: dict[str, torch.Tensor], name: str, _: nn.Module, __: Any, output: Any) -> None:
    # the final norm of a text encoder runs a second time where last layers are left out: all layers come first
    values.setdefault(name, _first(output).clone())


def _record_input(values: dict[str, torch.Tensor], name: str, _: nn.Module, args: Any) -> None:
    if args and isinstance(args[0], torch.Tensor):
        values.setdefault(name, args[0].clone())


def _first(output: Any) -> torch.Tensor:
    while not isinstance(output, torch.Tensor):
        output = output[0]
    return output


class _Substitute:
    """A hook that puts a tensor in the place of what a module gives, the first time it runs."""

    def __init__(self, name: str, other: torch.Tensor) -> None:
        self.name, self.other, self.used = name, other, False

    def __call__(self, _: nn.Module, __: Any, output: Any) -> Any:
        if self.used:
            return output
        self.used = True
        value = _first(output)
        if value.shape != self.other.shape:
            raise ArrayContractError(
                f"substitute of {self.name} must have the shape {list(value.shape)}, got {list(self.other.shape)}; trace it anew"
            )
        return _with_first(output, self.other.to(value.dtype).clone())


def _with_first(output: Any, tensor: torch.Tensor) -> Any:
    """Return what a module gave with another tensor in the first's place."""
    if isinstance(output, torch.Tensor):
        return tensor
    if isinstance(output, tuple | list):
        return type(output)((_with_first(output[0], tensor), *output[1:]))
    # transformers' and diffusers' outputs are ordered mappings
    changed = copy.copy(output)
    key = next(iter(changed.keys()))
    changed[key] = _with_first(changed[key], tensor)
    return changed


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

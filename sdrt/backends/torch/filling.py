"""From the model's weights into a module that has none yet."""

import numpy as np
import torch
from torch import nn

from sdrt.arrays import Array
from sdrt.errors import BackendError
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import COMPONENTS, ComponentName

__all__ = ["fill", "lay_channels_last", "parameters_by_name"]

# Where an adapter keeps diffusers' module; components of an autoencoder stand at its root under their own names.
_PREFIX = "module."


def fill(
    module: nn.Module, component: ComponentName, weights: ComponentTensors, dtype: torch.dtype, device: torch.device, mapped: bool
) -> None:
    """Give every parameter its tensor, one after another, so that no second copy of the model ever exists.

    Parameters
    ----------
    module : nn.Module
        On the device ``meta``, in float32.
    component : ComponentName
    weights : ComponentTensors
    dtype, device
        Of the tensors in the module.
    mapped : bool
        Whether a tensor that has this dtype already stays a view of its file.

    Raises
    ------
    WeightsError : a tensor is missing, of another shape, no floating tensor, or not finite
    """
    for path, owner in module.named_modules():
        for name, slot in owner.named_parameters(recurse=False):
            array = weights.take(_canonical_name(f"{path}.{name}" if path else name, component), tuple(slot.shape))
            setattr(owner, name, nn.Parameter(_tensor(array, dtype, device, mapped), requires_grad=False))
        for name, buffer in owner.named_buffers(recurse=False):
            setattr(owner, name, _counting(name, buffer, device))


def parameters_by_name(module: nn.Module, component: ComponentName) -> dict[str, nn.Parameter]:
    """Return a component's parameters by the canonical names of their tensors."""
    return {_canonical_name(path, component): parameter for path, parameter in module.named_parameters()}


def lay_channels_last(module: nn.Module) -> None:
    """Keep each convolution's channels innermost, one after another."""
    for each in module.modules():
        if isinstance(each, nn.Conv2d):
            each.weight.data = each.weight.data.contiguous(memory_format=torch.channels_last)


def _canonical_name(path: str, component: ComponentName) -> str:
    # the one module that an adapter takes out of diffusers' own
    own = f"controlnet_cond_{path}" if path.startswith("embedding.") else path.removeprefix(_PREFIX)
    return COMPONENTS[component].canonical_name(own)


def _tensor(array: Array, dtype: torch.dtype, device: torch.device, mapped: bool) -> torch.Tensor:
    stored = torch.from_numpy(np.atleast_1d(array)).reshape(array.shape)
    ready = stored.to(device=device, dtype=dtype)
    return ready.clone() if ready is stored and not mapped else ready


def _counting(name: str, buffer: torch.Tensor, device: torch.device) -> torch.Tensor:
    """CLIP's only buffer is no weight: the numbers of its positions."""
    if name != "position_ids":
        raise BackendError(
            f"a module of the installed transformers or diffusers has a buffer {name!r} unknown to sdrt; install an older one"
        )
    return torch.arange(buffer.shape[-1], device=device).expand(buffer.shape)

"""The layout of rewritten networks: linear layers as 1x1 convolutions, fastest on the Neural Engine, and sizes that a trace fixes."""

import warnings
from typing import Any

import torch
from torch import nn

from sdrt.errors import ConfigError

__all__ = ["fixed_size", "pointwise"]


def pointwise(layer: Any, factor: float = 1.0) -> nn.Conv2d:
    """Return a layer over channels as a 1x1 convolution of [n, channels, h, w].

    Parameters
    ----------
    layer : nn.Linear, or nn.Conv2d of 1x1 pixels
        Its weights are shared, unless they are scaled.
    factor : float
        A factor of all results.

    Raises
    ------
    ConfigError : any other layer, such as that of an adapter whose weights are not merged
    """
    if type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and factor == 1.0:
        return layer
    if type(layer) is not nn.Linear:
        raise ConfigError(f"a layer to rewrite must be a plain linear one, got {type(layer).__name__}; merge adapters first")
    with torch.device("meta"):
        conv = nn.Conv2d(layer.in_features, layer.out_features, 1, bias=layer.bias is not None)
    weight = layer.weight.detach()[:, :, None, None]
    conv.weight = nn.Parameter(weight if factor == 1.0 else weight * factor, requires_grad=False)
    if layer.bias is not None:
        bias = layer.bias.detach()
        conv.bias = nn.Parameter(bias if factor == 1.0 else bias * factor, requires_grad=False)
    return conv


def fixed_size(x: torch.Tensor, axis: int) -> int:
    """Return the length of an axis as a number; a trace that depends on it holds for that length alone."""
    with warnings.catch_warnings():
        # Fixing the number is intended.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return int(x.shape[axis])

"""Linear layers as convolutions of single pixels, the form that the Neural Engine runs fastest."""

from typing import Any

import torch
from torch import nn

from sdrt.errors import ConfigError

__all__ = ["pointwise"]


def pointwise(layer: Any, factor: float = 1.0) -> nn.Conv2d:
    """A layer over channels as a 1x1 convolution of [n, channels, h, w].

    Parameters
    ----------
    layer : nn.Linear, or nn.Conv2d of 1x1 pixels
        Its weights are shared, unless they are scaled.
    factor : float
        What all results are multiplied by.

    Raises
    ------
    ConfigError : the layer is something else, as an adapter's is whose weights are not merged
    """
    if type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and factor == 1.0:
        return layer
    if type(layer) is not nn.Linear:
        raise ConfigError(f"a plain linear layer can be rewritten, got {type(layer).__name__}; merge adapters into the weights first")
    with torch.device("meta"):
        conv = nn.Conv2d(layer.in_features, layer.out_features, 1, bias=layer.bias is not None)
    weight = layer.weight.detach()[:, :, None, None]
    conv.weight = nn.Parameter(weight if factor == 1.0 else weight * factor, requires_grad=False)
    if layer.bias is not None:
        bias = layer.bias.detach()
        conv.bias = nn.Parameter(bias if factor == 1.0 else bias * factor, requires_grad=False)
    return conv

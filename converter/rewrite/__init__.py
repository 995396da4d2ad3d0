"""Rewrite diffusers' U-Nets and ControlNets in the form that Core ML's compilers prefer; the numbers stay the same."""

from typing import Any

from diffusers import ControlNetModel, UNet2DConditionModel
from torch import nn

from converter.options import Attention
from converter.rewrite.channel_norm import register_channel_norm
from converter.rewrite.controlnet import CoreMLControlNet
from converter.rewrite.supported import check_supported
from converter.rewrite.unet import CoreMLUNet
from sdrt.errors import ConfigError

__all__ = ["CoreMLControlNet", "CoreMLUNet", "rewrite"]


def rewrite(module: Any, attention: Attention) -> nn.Module:
    """Rewrite a network in the layout [n, channels, 1, pixels], with linear layers as 1x1 convolutions.

    Parameters
    ----------
    module : diffusers.UNet2DConditionModel or diffusers.ControlNetModel
        In float32. It is not changed, and shares its weights with the result, except those of the queries, which are scaled.
    attention : Attention

    Returns
    -------
    CoreMLUNet or CoreMLControlNet
        In evaluation mode; called with the inputs of the Core ML package by name. It can be traced with ``torch.jit.trace`` and converted
        with coremltools, in this process only: one of its operations is registered with coremltools here.

    Raises
    ------
    ConfigError : an unsupported configuration; the message names the key

    Source: apple/ml-stable-diffusion at e12202c, ``unet.py``, for the form; the numbers are diffusers'.
    """
    if isinstance(module, UNet2DConditionModel):
        kind: type[CoreMLUNet] | type[CoreMLControlNet] = CoreMLUNet
    elif isinstance(module, ControlNetModel):
        kind = CoreMLControlNet
    else:
        raise ConfigError(
            f"a network to rewrite must be a UNet2DConditionModel or a ControlNetModel, got {type(module).__name__}; pass one of those"
        )
    check_supported(module.config)
    register_channel_norm()
    return kind(module, Attention(attention)).eval().requires_grad_(False)

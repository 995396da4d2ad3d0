"""Layer normalisation over axis 1 of [n, channels, 1, pixels], as one operation in torch and one in Core ML.

Torch only normalises trailing axes. For separate operations, coremltools recognises the pattern only if the bias precedes the weight and is
therefore divided by it, which loses accuracy where a weight is small and gives NaN where it is 0. A dedicated operation avoids both.
"""

from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from converter.tools import toolkit
from sdrt.errors import ConfigError

__all__ = ["ChannelNorm", "register_channel_norm"]

_NAME = "sdrt::channel_norm"
_LIBRARY: Any = torch.library.Library("sdrt", "DEF")  # type: ignore[no-untyped-call]  # its operations exist as long as it does
_LIBRARY.define("channel_norm(Tensor x, Tensor weight, Tensor bias, float epsilon) -> Tensor")


def _channel_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float) -> torch.Tensor:
    last = x.transpose(1, 3)
    return functional.layer_norm(last, last.shape[3:], weight, bias, epsilon).transpose(1, 3)


_LIBRARY.impl("channel_norm", _channel_norm, "CompositeExplicitAutograd")


class ChannelNorm(nn.Module):
    """An nn.LayerNorm over the channels of [n, channels, 1, pixels]; shares its weights."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        if type(norm) is not nn.LayerNorm or norm.bias is None:
            raise ConfigError(f"a layer normalisation must have weight and bias to be rewritten, got {norm}; convert another model")
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.sdrt.channel_norm(x, self.weight, self.bias, self.eps)
        return out


@cache
def register_channel_norm() -> None:
    """Register the operation with coremltools' front end, as MIL's ``layer_norm`` over axis 1."""
    mil = toolkit("coremltools.converters.mil")

    def sdrt_channel_norm(context: Any, node: Any) -> None:
        x, weight, bias, epsilon = (context[name] for name in node.inputs)
        norm = mil.Builder.layer_norm(x=x, axes=[1], gamma=weight, beta=bias, epsilon=epsilon, name=node.name)
        context.add(norm)

    mil.register_torch_op(sdrt_channel_norm, torch_alias=[_NAME], override=True)

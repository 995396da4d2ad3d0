"""A ControlNet: turns an image into residuals for the U-Net."""

from typing import Any

import torch
from torch import nn

from converter.interface import Tensor, residual_name
from converter.options import ConvertOptions
from converter.parts.denoiser import SourceDenoiser, denoiser_inputs, residual_shapes
from converter.parts.traceable import TraceablePart
from converter.rewrite import rewrite
from converter.sizes import Sizes
from converter.source import Source
from sdrt.errors import ConfigError
from sdrt.models.components.controlnets import is_union

__all__ = ["build"]


class _ControlNet(nn.Module):
    """A module with positional inputs, in the package's order, around a network that is called by name."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given: dict[str, Any] = dict(zip(self.names, inputs, strict=True))
        return tuple(self.network(**given))


def build(source: Source, base: Source, options: ConvertOptions, sizes: Sizes, *, rewritten: bool = True) -> TraceablePart:
    """Build the ControlNet in float32, rewritten for Core ML or as the source has it.

    Parameters
    ----------
    source, base : Source
        The ControlNet's own, and that of the model it is used with.
    options : ConvertOptions
    sizes : Sizes
    rewritten : bool
    """
    config = source.config("controlnet")
    if is_union(config):
        raise ConfigError(
            f"{source.model.where('controlnet')}: a ControlNet must take one sort of picture, got a union; convert another one"
        )
    sample, timestep, states, *added = denoiser_inputs(config, options, sizes, base)
    picture = Tensor(
        name="controlnet_cond",
        shapes=tuple((options.batch, config["conditioning_channels"], height, width) for height, width in sizes.pictures),
        dtype="float16",
        text="The picture to follow, for each row, values from 0 to 1",
    )
    inputs = (sample, timestep, states, picture, *added)
    adapter: Any = source.adapter("controlnet")
    if rewritten:
        module = adapter.module
        # The adapter removed both from diffusers' module, to embed the image once for many steps.
        module.controlnet_cond_embedding = adapter.embedding
        module.register_to_config(controlnet_conditioning_channel_order="bgr" if adapter.reverse_channels else "rgb")
        network = rewrite(module, options.attention)
    else:
        network = SourceDenoiser(adapter, controls=True)
    count = len(residual_shapes(config, options.batch, sizes.latents[0]))
    return TraceablePart(
        role="controlnet",
        module=_ControlNet(network, tuple(tensor.name for tensor in inputs)).eval(),
        inputs=inputs,
        outputs=tuple(Tensor(name=residual_name(index), text=_purpose(index, count)) for index in range(count)),
        precision=options.precision,
    )


def _purpose(index: int, count: int) -> str:
    return "For the U-Net's middle" if index == count - 1 else f"For skip connection {index} of the U-Net's way down"

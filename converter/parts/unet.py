"""The U-Net: alone, with a ControlNet's residuals as inputs, or as SDXL's refiner."""

from typing import Any, Literal

import torch
from torch import nn

from converter.interface import Tensor, fixed, residual_name
from converter.options import ConvertOptions
from converter.parts.denoiser import SourceDenoiser, denoiser_inputs, residual_shapes
from converter.parts.traceable import TraceablePart
from converter.rewrite import rewrite
from converter.sizes import Sizes
from converter.source import Source

__all__ = ["build"]


class _UNet(nn.Module):
    """A module with positional inputs, in the package's order, around a network that is called by name.

    Parameters
    ----------
    network : nn.Module
    names : tuple of str
        The names of the inputs before a ControlNet's residuals.
    """

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given: dict[str, Any] = dict(zip(self.names, inputs, strict=False))
        return (self.network(**given, additional_residuals=inputs[len(self.names) :]),)


def build(
    source: Source, options: ConvertOptions, sizes: Sizes, role: Literal["unet", "control_unet", "refiner"], *, rewritten: bool = True
) -> TraceablePart:
    """Build the U-Net in float32, rewritten for Core ML or as the source has it."""
    config = source.config("unet")
    inputs = denoiser_inputs(config, options, sizes, source)
    if config["time_cond_proj_dim"] is not None:
        width = config["time_cond_proj_dim"]
        inputs = (*inputs, fixed("timestep_cond", (options.batch, width), "float16", "The guidance scale, embedded, for each row"))
    names = tuple(tensor.name for tensor in inputs)
    if role == "control_unet":
        inputs = (*inputs, *_residuals(config, options.batch, sizes))
    adapter = source.adapter("unet")
    network = rewrite(adapter.module, options.attention) if rewritten else SourceDenoiser(adapter, controls=False)
    return TraceablePart(
        role=role,
        module=_UNet(network, names).eval(),
        inputs=inputs,
        outputs=(Tensor(name="noise_pred", text="What the network predicts for each row: noise, or velocity, see the prediction type"),),
        precision=options.precision,
    )


def _residuals(config: Any, batch: int, sizes: Sizes) -> tuple[Tensor, ...]:
    by_size = [residual_shapes(config, batch, latent) for latent in sizes.latents]
    return tuple(
        Tensor(
            name=residual_name(index),
            shapes=shapes,
            dtype="float16",
            text="Added to what the middle gives" if index == len(by_size[0]) - 1 else f"Added to skip connection {index} of the way down",
        )
        for index, shapes in enumerate(zip(*by_size, strict=True))
    )

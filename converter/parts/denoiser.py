"""Inputs shared by the U-Net and the ControlNet."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from converter.interface import Tensor, fixed, residual_name
from converter.options import ConvertOptions
from converter.sizes import Sizes
from converter.source import Source
from sdrt.errors import ConfigError
from sdrt.models.components import ComponentName

__all__ = ["SourceDenoiser", "denoiser_inputs", "residual_shapes"]


def denoiser_inputs(config: Mapping[str, Any], options: ConvertOptions, sizes: Sizes, base: Source) -> tuple[Tensor, ...]:
    """Return ``sample``, ``timestep``, ``encoder_hidden_states``, and for SDXL ``time_ids`` and ``text_embeds``.

    Parameters
    ----------
    config : mapping
        The U-Net's or ControlNet's.
    options : ConvertOptions
    sizes : Sizes
    base : Source
        The model whose text encoders it is used with.

    Raises
    ------
    ConfigError : the text encoder belongs to another model
    """
    batch, channels, width = options.batch, config["in_channels"], config["cross_attention_dim"]
    rows = "first without the prompt, then with it" if batch == 2 else "one row"
    inputs = (
        Tensor(
            name="sample",
            shapes=tuple((batch, channels, height, width) for height, width in sizes.latents),
            dtype="float16",
            text=f"Noisy latents, {rows}"
            + ("" if channels == 4 else f"; {channels} channels: latents, then mask and masked picture's latents"),
        ),
        fixed("timestep", (batch,), options.timestep_dtype, "How noisy they are: the step of the training schedule, for each row"),
        fixed(
            "encoder_hidden_states",
            (batch, width, 1, _tokens(base, options)),
            "float16",
            "The text encoders' states, channels before tokens, in the rows' order",
        ),
    )
    if config["addition_embed_type"] != "text_time":
        return inputs
    pooled = base.config("text_encoder_2")["projection_dim"]
    numbers = _added(config, pooled)
    what = "original height and width, crop's top and left, target's height and width"
    refined = "original height and width, crop's top and left, aesthetic score"
    return (
        *inputs,
        fixed("time_ids", (batch, numbers), "float16", f"Of each row: {what if numbers == 6 else refined}"),
        fixed("text_embeds", (batch, pooled), "float16", "The second text encoder's pooled vector, for each row"),
    )


def residual_shapes(config: Mapping[str, Any], batch: int, latent: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a ControlNet's residuals: first convolution, each block and downsampler of the down path, middle.

    >>> config = {"block_out_channels": (320, 640), "layers_per_block": 1}
    >>> residual_shapes(config, 2, (64, 48))
    ((2, 320, 64, 48), (2, 320, 64, 48), (2, 320, 32, 24), (2, 640, 32, 24), (2, 640, 32, 24))
    """
    channels, layers = tuple(config["block_out_channels"]), config["layers_per_block"]
    counts = (layers,) * len(channels) if isinstance(layers, int) else tuple(layers)
    height, width = latent
    shapes = [(batch, channels[0], height, width)]
    for level, (wide, count) in enumerate(zip(channels, counts, strict=True)):
        shapes += [(batch, wide, height, width)] * count
        if level < len(channels) - 1:
            height, width = height // 2, width // 2
            shapes.append((batch, wide, height, width))
    return (*shapes, (batch, channels[-1], height, width))


class SourceDenoiser(nn.Module):
    """The source's own network with the interface of the rewritten one, which is compared with it.

    Parameters
    ----------
    adapter : nn.Module
        One of `sdrt.backends.torch.denoisers`.
    controls : bool
        Whether it is a ControlNet.
    """

    def __init__(self, adapter: nn.Module, controls: bool) -> None:
        super().__init__()
        self.adapter, self.controls = adapter, controls

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        time_ids: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
        timestep_cond: torch.Tensor | None = None,
        additional_residuals: tuple[torch.Tensor, ...] = (),
        controlnet_cond: torch.Tensor | None = None,
    ) -> Any:
        given: dict[str, Any] = {
            "sample": sample,
            "timestep": timestep,
            "encoder_hidden_states": encoder_hidden_states.squeeze(2).transpose(1, 2),
        }
        given |= {} if text_embeds is None else {"text_embeds": text_embeds, "time_ids": time_ids}
        given |= {} if timestep_cond is None else {"timestep_cond": timestep_cond}
        if self.controls:
            return self.adapter(**given, controlnet_cond=controlnet_cond)
        residuals = {residual_name(index): residual for index, residual in enumerate(additional_residuals)}
        return self.adapter(**given, **residuals)[0]


def _tokens(base: Source, options: ConvertOptions) -> int:
    if options.text_token_sequence_length is not None:
        return options.text_token_sequence_length
    component: ComponentName = "text_encoder_2" if base.is_xl else "text_encoder"
    return int(base.config(component)["max_position_embeddings"])


def _added(config: Mapping[str, Any], pooled: int) -> int:
    """Return how many numbers accompany the pooled text: six in SDXL, five in its refiner."""
    joint, each = config["projection_class_embeddings_input_dim"], config["addition_time_embed_dim"]
    count, rest = divmod(joint - pooled, each)
    if rest or count not in (5, 6):
        raise ConfigError(
            f"a network's {joint} added inputs must be the text encoder's pooled vector and six (SDXL) or five (refiner) times {each}, "
            f"got a pooled vector of {pooled}; convert with the text encoder that belongs to the network"
        )
    return int(count)

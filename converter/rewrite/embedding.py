"""Embed the timestep, the guidance scale, and SDXL's pooled text and numbers in one vector for each image.

Sines and cosines of angles up to 1000 radians need float32: half precision resolves such an angle to half a radian. The angles are one
product with constants, so `converter.precision` finds everything that must stay float32 by walking back from ``sin`` and ``cos``.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from converter.rewrite.layout import pointwise
from sdrt.errors import ArrayContractError, ConfigError

__all__ = ["TimeEmbedding", "Waves"]

_LONGEST_PERIOD = 10000.0


class Waves(nn.Module):
    """diffusers' Timesteps: numbers [...] -> [..., size] of sines and cosines of their multiples."""

    frequencies: torch.Tensor

    def __init__(self, timesteps: Any) -> None:
        super().__init__()
        size: int = timesteps.num_channels
        if size % 2:
            raise ConfigError(f"a number's embedding must have an even width, sines and cosines, got {size}; convert another model")
        half = size // 2
        # Diffusers' own float32 expression, so that every frequency has the same bits.
        exponents = -math.log(_LONGEST_PERIOD) * torch.arange(half, dtype=torch.float32)
        frequencies = timesteps.scale * torch.exp(exponents / (half - timesteps.downscale_freq_shift))
        self.register_buffer("frequencies", frequencies)
        self.cosine_first: bool = timesteps.flip_sin_to_cos

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        angles = numbers.unsqueeze(-1) * self.frequencies
        sine, cosine = torch.sin(angles), torch.cos(angles)
        return torch.cat([cosine, sine] if self.cosine_first else [sine, cosine], dim=-1)


class _TwoLayers(nn.Module):
    """diffusers' TimestepEmbedding over [n, width, 1, 1]."""

    def __init__(self, embedding: Any) -> None:
        super().__init__()
        self.first, self.second = pointwise(embedding.linear_1), pointwise(embedding.linear_2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(functional.silu(self.first(x)))
        return out


class TimeEmbedding(nn.Module):
    """SiLU of the embedding that every residual block takes, [n, width, 1, 1]."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.time_waves, self.time_layers = Waves(module.time_proj), _TwoLayers(module.time_embedding)
        guidance = module.time_embedding.cond_proj
        self.guidance = None if guidance is None else pointwise(guidance)
        has_text = module.config.addition_embed_type == "text_time"
        self.number_waves = Waves(module.add_time_proj) if has_text else None
        self.added_layers = _TwoLayers(module.add_embedding) if has_text else None

    def forward(
        self,
        timestep: torch.Tensor,
        time_ids: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
        timestep_cond: torch.Tensor | None = None,
    ) -> torch.Tensor:
        waves = self.time_waves(timestep)[:, :, None, None]
        if timestep_cond is not None:
            if self.guidance is None:
                raise ArrayContractError("timestep_cond must be left out for a model without time_cond_proj_dim, got one; drop it")
            waves = waves + self.guidance(timestep_cond[:, :, None, None])
        return functional.silu(self._with_text(self.time_layers(waves), time_ids, text_embeds))

    def _with_text(self, embedding: torch.Tensor, time_ids: torch.Tensor | None, text_embeds: torch.Tensor | None) -> torch.Tensor:
        if self.number_waves is None or self.added_layers is None:
            if time_ids is not None or text_embeds is not None:
                raise ArrayContractError("time_ids and text_embeds must be left out for models other than SDXL, got them; drop them")
            return embedding
        if time_ids is None or text_embeds is None:
            raise ArrayContractError("time_ids and text_embeds must both be given for an SDXL model, got one or none; pass both")
        numbers = self.number_waves(time_ids).reshape(text_embeds.shape[0], -1)
        added: torch.Tensor = self.added_layers(torch.cat([text_embeds, numbers], dim=1)[:, :, None, None])
        return embedding + added

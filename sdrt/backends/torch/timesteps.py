"""Timestep features in float64."""

from typing import Any

import torch
from torch import nn

__all__ = ["Float64Timesteps"]


class Float64Timesteps(nn.Module):
    """diffusers' ``Timesteps`` without its rounding to float32, which moves the features of t = 999 by 3e-5.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5, with diffusers' order and shift of the frequencies.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.size, self.cosines_first = original.num_channels, original.flip_sin_to_cos
        self.shift, self.scale = original.downscale_freq_shift, original.scale

    def forward(self, timesteps: torch.Tensor) -> torch.Tensor:
        """[n] -> float64[n, size]."""
        half = self.size // 2
        steps = torch.arange(half, dtype=torch.float64, device=timesteps.device)
        angles = self.scale * timesteps.double()[:, None] * 10000.0 ** (-steps / (half - self.shift))
        waves = [angles.cos(), angles.sin()] if self.cosines_first else [angles.sin(), angles.cos()]
        return nn.functional.pad(torch.cat(waves, dim=1), (0, self.size % 2))

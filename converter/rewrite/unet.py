"""The rewritten U-Net."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from converter.options import Attention
from converter.rewrite.stages import Trunk, UpStage
from sdrt.errors import ArrayContractError

__all__ = ["CoreMLUNet"]


class CoreMLUNet(nn.Module):
    """diffusers' UNet2DConditionModel with the inputs of a Core ML package."""

    def __init__(self, module: Any, kind: Attention) -> None:
        super().__init__()
        self.trunk = Trunk(module, kind)
        self.up_stages = nn.ModuleList(UpStage(block, kind) for block in module.up_blocks)
        self.norm_out, self.conv_out = module.conv_norm_out, module.conv_out
        self.centred: bool = module.config.center_input_sample

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        time_ids: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
        timestep_cond: torch.Tensor | None = None,
        additional_residuals: Sequence[torch.Tensor] = (),
    ) -> torch.Tensor:
        """Return the prediction.

        Parameters
        ----------
        sample : float32[n, in_channels, h, w]
        timestep : float32[n]
        encoder_hidden_states : float32[n, width, 1, length]
        time_ids : float32[n, 6] (5 for SDXL's refiner), and text_embeds : float32[n, pooled width]
            For SDXL models only.
        timestep_cond : float32[n, time_cond_proj_dim]
            The embedded guidance scale of latent consistency models.
        additional_residuals : sequence of float32
            A ControlNet's: one for each result of the down path, then the middle's; or none.

        Returns
        -------
        float32[n, out_channels, h, w]
        """
        time = self.trunk.time(timestep, time_ids, text_embeds, timestep_cond)
        first = self.trunk.conv_in(2.0 * sample - 1.0 if self.centred else sample)
        x, skips = self.trunk.down(first, time, encoder_hidden_states)
        residuals = list(additional_residuals)
        if residuals and len(residuals) != len(skips) + 1:
            raise ArrayContractError(f"additional_residuals must be {len(skips) + 1} or none, got {len(residuals)}; pass all")
        x = self.trunk.through_middle(x, time, encoder_hidden_states)
        if residuals:
            x = x + residuals[-1]
            skips = [skip + residual for skip, residual in zip(skips, residuals, strict=False)]
        for stage in self.up_stages:
            x = stage(x, skips, time, encoder_hidden_states)
        out: torch.Tensor = self.conv_out(functional.silu(self.norm_out(x)))
        return out

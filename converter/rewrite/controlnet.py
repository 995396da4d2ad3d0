"""The rewritten ControlNet."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from converter.options import Attention
from converter.rewrite.stages import Trunk

__all__ = ["CoreMLControlNet"]


class _PictureEmbedding(nn.Module):
    """diffusers' ControlNetConditioningEmbedding: from an image's pixels to the size and channels of the first convolution's result."""

    def __init__(self, embedding: Any, *, blue_first: bool) -> None:
        super().__init__()
        first = embedding.conv_in
        if blue_first:
            # Reversing the weights saves reversing the image.
            turned = nn.Conv2d(first.in_channels, first.out_channels, first.kernel_size, padding=first.padding)
            turned.weight, turned.bias = nn.Parameter(first.weight.detach().flip(1), requires_grad=False), first.bias
            first = turned
        self.convs = nn.ModuleList([first, *embedding.blocks])
        self.conv_out = embedding.conv_out

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            picture = functional.silu(conv(picture))
        out: torch.Tensor = self.conv_out(picture)
        return out


class CoreMLControlNet(nn.Module):
    """diffusers' ControlNetModel with the inputs of a Core ML package, at a conditioning scale of 1."""

    def __init__(self, module: Any, kind: Attention) -> None:
        super().__init__()
        self.trunk = Trunk(module, kind)
        blue_first = module.config.controlnet_conditioning_channel_order == "bgr"
        self.embedding = _PictureEmbedding(module.controlnet_cond_embedding, blue_first=blue_first)
        self.outs = nn.ModuleList([*module.controlnet_down_blocks, module.controlnet_mid_block])
        self.pooled: bool = module.config.global_pool_conditions

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        controlnet_cond: torch.Tensor,
        time_ids: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Return the residuals for a U-Net; inputs are those of `CoreMLUNet`.

        Parameters
        ----------
        controlnet_cond : float32[n, 3, 8 h, 8 w] in [0, 1]

        Returns
        -------
        tuple of float32
            One for each result of the down path, then the middle's; [n, channels, 1, 1] if the configuration sets
            ``global_pool_conditions``.
        """
        time = self.trunk.time(timestep, time_ids, text_embeds)
        first = self.trunk.conv_in(sample) + self.embedding(controlnet_cond)
        x, results = self.trunk.down(first, time, encoder_hidden_states)
        results.append(self.trunk.through_middle(x, time, encoder_hidden_states))
        # The mean comes first, since a 1x1 convolution preserves it.
        wanted = [result.mean(dim=(2, 3), keepdim=True) if self.pooled else result for result in results]
        return tuple(out(each) for out, each in zip(self.outs, wanted, strict=True))

"""Random networks as converters see them: arrays in, one array out, names as in their packages."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tests.factories import TEXT_ENCODERS, UNETS, VAES, random_text_encoder, random_unet, random_vae

__all__ = ["Layers", "SplitAttention", "TextEncoder", "UNet", "VaeDecoder", "VaeEncoder", "sample_inputs"]


class UNet(nn.Module):
    """A U-Net of Stable Diffusion's kind."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        small: dict[str, Any] = {"block_out_channels": (32, 64), "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
        small |= {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "layers_per_block": 1}
        self.unet = random_unet({**UNETS["sd1"], **small, **(config or {})}, seed=1)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]
        return found


class VaeDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vae = random_vae({**VAES["sd1"], "block_out_channels": (16, 32)}, seed=2)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.vae.decode(z, return_dict=False)[0]
        return found


class VaeEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vae = random_vae({**VAES["sd1"], "block_out_channels": (16, 32)}, seed=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.vae.quant_conv(self.vae.encoder(x))
        return found


class TextEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = random_text_encoder(TEXT_ENCODERS["sd1"], seed=3)

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.encoder(input_ids.long())
        return found.last_hidden_state, found.pooler_output


class SplitAttention(nn.Module):
    """Attention head by head on [n, channels, 1, length], as Apple's SPLIT_EINSUM writes it."""

    def __init__(self, width: int = 24, heads: int = 3) -> None:
        super().__init__()
        self.heads, self.each = heads, width // heads
        self.q, self.k, self.v, self.out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        q, k, v = self.q(x), self.k(context).transpose(1, 3), self.v(context)
        parts = []
        for head in range(self.heads):
            at = slice(head * self.each, (head + 1) * self.each)
            weights = torch.einsum("bchq,bkhc->bkhq", q[:, at], k[:, :, :, at]) * self.each**-0.5
            parts.append(torch.einsum("bkhq,bchk->bchq", weights.softmax(dim=1), v[:, at]))
        found: torch.Tensor = self.out(torch.cat(parts, dim=1)) + x
        return found


class Layers(nn.Module):
    """A convolution, a group norm and a linear layer: what each compression is tried on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv = nn.Conv2d(8, 32, 3, padding=1)
        self.norm = nn.GroupNorm(4, 32)
        self.linear = nn.Linear(32, 48)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.nn.functional.silu(self.norm(self.conv(x)))
        found: torch.Tensor = self.linear(hidden.mean(dim=(2, 3)))
        return found


def sample_inputs(size: int = 8) -> dict[str, torch.Tensor]:
    """Inputs of `UNet`."""
    generator = torch.Generator().manual_seed(7)
    return {
        "sample": torch.randn(2, 4, size, size, generator=generator),
        "timestep": torch.tensor([981.0, 17.0]),
        "encoder_hidden_states": torch.randn(2, 9, 32, generator=generator),
    }

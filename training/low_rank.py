"""Low-rank updates of a U-Net's weights: a forward pass with them, and their file with the keys that diffusers and peft write."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

_PARTS = ("resnets", "attentions")  # of a block; the layers that sample up and down, and the ends of the U-Net, stay
Layer = nn.Linear | nn.Conv2d


class LowRank(nn.Module):
    """A layer with an update of low rank: rows that read its input, and columns, zero at first, that write to its output."""

    def __init__(self, layer: Layer, rank: int) -> None:
        super().__init__()
        self.layer = layer
        if isinstance(layer, nn.Conv2d):
            self.lora_A: Layer = nn.Conv2d(layer.in_channels, rank, layer.kernel_size, layer.stride, layer.padding, bias=False)  # type: ignore[arg-type]
            self.lora_B: Layer = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
        else:
            self.lora_A = nn.Linear(layer.in_features, rank, bias=False)
            self.lora_B = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the update's output to the layer's."""
        total: torch.Tensor = self.layer(x) + self.lora_B(self.lora_A(x))
        return total


def add_low_rank(unet: nn.Module, rank: int) -> dict[str, LowRank]:
    """Freeze a U-Net and give its residual and attention layers updates; return these by the layers' names."""
    unet.requires_grad_(False)
    found = {}
    for name, module in list(unet.named_modules()):
        if isinstance(module, nn.Linear | nn.Conv2d) and any(part in name.split(".") for part in _PARTS):
            owner, _, last = name.rpartition(".")
            found[name] = LowRank(module, rank)
            setattr(unet.get_submodule(owner), last, found[name])
    return found


def tensors(updates: Mapping[str, LowRank]) -> dict[str, torch.Tensor]:
    """Return the updates' weights under the names that diffusers and peft give them."""
    return {
        f"unet.{name}.{part}.weight": getattr(update, part).weight.detach()
        for name, update in updates.items()
        for part in ("lora_A", "lora_B")
    }


def merge(unet: nn.Module, weights: Mapping[str, torch.Tensor], strength: float = 1.0) -> None:
    """Add updates to a U-Net's weights, so that it needs no other code."""
    layers = dict(unet.named_modules())
    for key in weights:
        if key.endswith(".lora_A.weight"):
            name = key.removeprefix("unet.").removesuffix(".lora_A.weight")
            reads, writes = weights[key].float(), weights[key.replace("lora_A", "lora_B")].float()
            weight = layers[name].weight
            update = (writes.flatten(1) @ reads.flatten(1)).reshape(weight.shape)
            weight.data.add_(update, alpha=strength)

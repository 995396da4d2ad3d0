"""CLIP's text encoders: one in Stable Diffusion 1.x and 2.x, two in XL."""

from typing import Literal

import torch
from torch import nn

from converter.interface import Tensor, fixed
from converter.options import Precision
from converter.parts.traceable import TraceablePart
from converter.source import Source

__all__ = ["build"]

_LAST = Tensor(name="last_hidden_state", text="State of every token after the last layer and its norm: what the U-Net attends to")
_PENULTIMATE = Tensor(name="hidden_embeds", text="State of every token before the last layer, not normed: what the U-Net attends to")
_POOLED = Tensor(
    name="pooled_outputs", text="One vector for the whole text: the state at its end token, projected where the encoder projects"
)


class _TextEncoder(nn.Module):
    """A text encoder that takes ids as floats, as Core ML's runtime does (apple/coremltools#1423); its first operation casts them."""

    def __init__(self, encoder: nn.Module, penultimate: bool) -> None:
        super().__init__()
        self.encoder, self.penultimate = encoder, penultimate

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        last, before, pooled = self.encoder(input_ids.to(torch.int32))
        return (before if self.penultimate else last), pooled


def build(source: Source, role: Literal["text_encoder", "text_encoder_2"], precision: Precision) -> TraceablePart:
    """Build the encoder in float32. Masks stay finite: its attention is torch's fused one, whose mask coremltools bounds itself."""
    config = source.config(role)
    length = config["max_position_embeddings"]
    return TraceablePart(
        role=role,
        module=_TextEncoder(source.adapter(role), source.is_xl).eval(),
        inputs=(fixed("input_ids", (1, length), "float32", f"Numbers of the text's tokens, as many as {length}, padded at the end"),),
        outputs=(_PENULTIMATE if source.is_xl else _LAST, _POOLED),
        precision=precision,
    )

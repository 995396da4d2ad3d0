"""CLIP's text encoders: the one of Stable Diffusion 1.x and 2.x, and the two of XL."""

from typing import Literal

import torch
from torch import nn

from converter.interface import Tensor, fixed
from converter.options import ConvertOptions
from converter.parts.part import Part
from converter.source import Source

__all__ = ["build"]

_LAST = Tensor(name="last_hidden_state", text="State of every token after the last layer and its norm: what the U-Net attends to")
_PENULTIMATE = Tensor(name="hidden_embeds", text="State of every token before the last layer, not normed: what the U-Net attends to")
_POOLED = Tensor(
    name="pooled_outputs", text="One vector for the whole text: the state at its end token, projected where the encoder projects"
)


class _TextEncoder(nn.Module):
    """Ids as floats, because Core ML's runtime takes them so (apple/coremltools#1423): one cast, the first operation."""

    def __init__(self, encoder: nn.Module, penultimate: bool) -> None:
        super().__init__()
        self.encoder, self.penultimate = encoder, penultimate

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        last, before, pooled = self.encoder(input_ids.to(torch.int32))
        return (before if self.penultimate else last), pooled


def build(source: Source, options: ConvertOptions, role: Literal["text_encoder", "text_encoder_2"]) -> Part:
    """The encoder in float32. Masks are finite: the encoder's own attention is torch's fused one, whose mask coremltools bounds itself."""
    config = source.config(role)
    length = config["max_position_embeddings"]
    return Part(
        role=role,
        module=_TextEncoder(source.adapter(role), source.is_xl).eval(),
        inputs=(fixed("input_ids", (1, length), "float32", f"Numbers of the text's tokens, as many as {length}, padded at the end"),),
        outputs=(_PENULTIMATE if source.is_xl else _LAST, _POOLED),
        precision=options.precision,
    )

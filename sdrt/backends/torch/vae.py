"""The two halves of AutoencoderKL, and of AutoencoderTiny, which has no convolutions beside them."""

import torch
from torch import nn

from sdrt.backends.torch.adapter import Adapter

__all__ = ["VaeDecoder", "VaeEncoder"]


class VaeDecoder(Adapter):
    """One half of an autoencoder.

    Parameters
    ----------
    decoder : nn.Module
    post_quant_conv : nn.Module or None
    row_by_row : bool
        Whether pictures of a batch run one after another.
    """

    def __init__(self, decoder: nn.Module, post_quant_conv: nn.Module | None, row_by_row: bool) -> None:
        super().__init__()
        self.decoder, self.post_quant_conv, self.row_by_row = decoder, post_quant_conv, row_by_row

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.row_by_row and len(z) > 1:
            return (torch.cat([self.forward(row)[0] for row in torch.split(z, 1)]),)
        return (self.decoder(z if self.post_quant_conv is None else self.post_quant_conv(z)),)


class VaeEncoder(Adapter):
    """The other half; parameters as the decoder's."""

    def __init__(self, encoder: nn.Module, quant_conv: nn.Module | None, row_by_row: bool) -> None:
        super().__init__()
        self.encoder, self.quant_conv, self.row_by_row = encoder, quant_conv, row_by_row

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.row_by_row and len(x) > 1:
            return (torch.cat([self.forward(row)[0] for row in torch.split(x, 1)]),)
        moments = self.encoder(x)
        return (moments if self.quant_conv is None else self.quant_conv(moments),)

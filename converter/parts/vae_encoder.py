"""The half of the autoencoder that makes latents of a picture."""

from torch import nn

from converter.interface import Tensor
from converter.options import ConvertOptions
from converter.parts.part import Part
from converter.parts.vae import vae_precision
from converter.sizes import Sizes
from converter.source import Source

__all__ = ["build"]


def build(source: Source, options: ConvertOptions, sizes: Sizes) -> Part:
    """The encoder in float32, up to the moments that its last convolution (``quant_conv``) gives."""
    precision = vae_precision(source, options, "vae_encoder")
    channels = source.config("vae_encoder")["in_channels"]
    module: nn.Module = source.adapter("vae_encoder")
    return Part(
        role="vae_encoder",
        module=module,
        inputs=(
            Tensor(
                name="x",
                shapes=tuple((1, channels, height, width) for height, width in sizes.pictures),
                dtype=precision,
                text="A picture to begin from, channels red, green, blue, values from -1 to 1",
            ),
        ),
        outputs=(Tensor(name="latent", text="Moments of the latents: the mean in the first half of the channels, then the log variance"),),
        precision=precision,
        compute_unit="CPU_AND_GPU" if precision == "float32" and source.is_xl else None,
    )

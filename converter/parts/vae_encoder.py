"""The half of the autoencoder that makes latents of a picture."""

from converter.interface import Tensor
from converter.options import ConvertOptions
from converter.parts.part import Part
from converter.parts.vae import vae_part
from converter.sizes import Sizes
from converter.source import Source

__all__ = ["build"]


def build(source: Source, options: ConvertOptions, sizes: Sizes) -> Part:
    """The encoder in float32, up to the moments that its last convolution (``quant_conv``) gives."""
    takes = ("x", "A picture to begin from, channels red, green, blue, values from -1 to 1")
    gives = Tensor(name="latent", text="Moments of the latents: the mean in the first half of the channels, then the log variance")
    channels = source.config("vae_encoder")["in_channels"]
    return vae_part(source, options, "vae_encoder", channels, sizes.pictures, takes, gives)

"""The half of the autoencoder that makes a picture of latents."""

from converter.interface import Tensor
from converter.options import ConvertOptions
from converter.parts.part import Part
from converter.parts.vae import vae_part
from converter.sizes import Sizes
from converter.source import Source

__all__ = ["build"]


def build(source: Source, options: ConvertOptions, sizes: Sizes) -> Part:
    """The decoder in float32, its first convolution (``post_quant_conv``) included."""
    takes = ("z", "Latents after the last step, divided by the model's scaling factor")
    gives = Tensor(name="image", text="The picture, channels red, green, blue, values from -1 to 1")
    channels = source.config("vae_decoder")["latent_channels"]
    return vae_part(source, options, "vae_decoder", channels, sizes.latents, takes, gives)

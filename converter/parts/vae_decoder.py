"""The half of the autoencoder that makes a picture of latents."""

from torch import nn

from converter.interface import Tensor
from converter.options import ConvertOptions
from converter.parts.part import Part
from converter.parts.vae import vae_precision
from converter.sizes import Sizes
from converter.source import Source

__all__ = ["build"]


def build(source: Source, options: ConvertOptions, sizes: Sizes) -> Part:
    """The decoder in float32, its first convolution (``post_quant_conv``) included."""
    precision = vae_precision(source, options, "vae_decoder")
    channels = source.config("vae_decoder")["latent_channels"]
    module: nn.Module = source.adapter("vae_decoder")
    return Part(
        role="vae_decoder",
        module=module,
        inputs=(
            Tensor(
                name="z",
                shapes=tuple((1, channels, height, width) for height, width in sizes.latents),
                dtype=precision,
                text="Latents after the last step, divided by the model's scaling factor",
            ),
        ),
        outputs=(Tensor(name="image", text="The picture, channels red, green, blue, values from -1 to 1"),),
        precision=precision,
        compute_unit="CPU_AND_GPU" if precision == "float32" and source.is_xl else None,
    )

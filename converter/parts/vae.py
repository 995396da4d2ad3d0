"""The two halves of the autoencoder: the decoder makes images of latents, the encoder latents of images."""

from typing import Literal

from converter.interface import Tensor
from converter.options import Precision
from converter.parts.traceable import TraceablePart
from converter.sizes import Sizes
from converter.source import Source

__all__ = ["build_decoder", "build_encoder"]

Half = Literal["vae_decoder", "vae_encoder"]


def build_decoder(source: Source, sizes: Sizes, precision: Precision) -> TraceablePart:
    """Build the decoder in float32, including its first convolution (``post_quant_conv``)."""
    latents = ("z", "Latents after the last step, divided by the model's scaling factor")
    image = Tensor(name="image", text="The picture, channels red, green, blue, values from -1 to 1")
    channels = source.config("vae_decoder")["latent_channels"]
    return _half(source, precision, "vae_decoder", channels, sizes.latents, latents, image)


def build_encoder(source: Source, sizes: Sizes, precision: Precision) -> TraceablePart:
    """Build the encoder in float32, up to the moments that its last convolution (``quant_conv``) returns."""
    image = ("x", "A picture to begin from, channels red, green, blue, values from -1 to 1")
    moments = Tensor(name="latent", text="Moments of the latents: the mean in the first half of the channels, then the log variance")
    channels = source.config("vae_encoder")["in_channels"]
    return _half(source, precision, "vae_encoder", channels, sizes.pictures, image, moments)


def _half(
    source: Source,
    requested: Precision,
    half: Half,
    channels: int,
    sides: tuple[tuple[int, int], ...],
    takes: tuple[str, str],
    gives: Tensor,
) -> TraceablePart:
    """Build a half in float32.

    Parameters
    ----------
    requested : "float16" or "float32"
        The requested precision.
    channels : int
        Channels of the input.
    sides : tuple of (height, width)
        Sizes of the input.
    takes : (name, description)
    gives : Tensor
    """
    precision = _precision(source, requested, half)
    shapes = tuple((1, channels, height, width) for height, width in sides)
    return TraceablePart(
        role=half,
        module=source.adapter(half),
        inputs=(Tensor(name=takes[0], shapes=shapes, dtype=precision, text=takes[1]),),
        outputs=(gives,),
        precision=precision,
        compute_unit="CPU_AND_GPU" if precision == "float32" and source.is_xl else None,
    )


def _precision(source: Source, requested: Precision, half: Half) -> Precision:
    """Return the precision that a half of the autoencoder computes in.

    Stable Diffusion XL's own autoencoder always computes in float32: its activations exceed 65504, so keeping norms in float32 is not
    enough. An autoencoder made for float16 says so itself (``force_upcast`` false), which applies to both halves here; Apple's converter
    trusts any custom VAE, and only in the decoder.
    """
    overflows = source.is_xl and source.config(half).get("force_upcast", True)
    return "float32" if overflows else requested

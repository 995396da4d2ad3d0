"""What the two halves of the autoencoder share."""

from typing import Literal

from converter.interface import Tensor
from converter.options import ConvertOptions, Precision
from converter.parts.part import Part
from converter.source import Source

__all__ = ["vae_part", "vae_precision"]

Half = Literal["vae_decoder", "vae_encoder"]


def vae_part(
    source: Source,
    options: ConvertOptions,
    half: Half,
    channels: int,
    sides: tuple[tuple[int, int], ...],
    takes: tuple[str, str],
    gives: Tensor,
) -> Part:
    """A half in float32.

    Parameters
    ----------
    channels : int
        Of what it takes.
    sides : tuple of (height, width)
        Of what it takes, size by size.
    takes : (name, description)
    gives : Tensor
    """
    precision = vae_precision(source, options, half)
    shapes = tuple((1, channels, height, width) for height, width in sides)
    return Part(
        role=half,
        module=source.adapter(half),
        inputs=(Tensor(name=takes[0], shapes=shapes, dtype=precision, text=takes[1]),),
        outputs=(gives,),
        precision=precision,
        compute_unit="CPU_AND_GPU" if precision == "float32" and source.is_xl else None,
    )


def vae_precision(source: Source, options: ConvertOptions, half: Half) -> Precision:
    """In which precision a half of the autoencoder computes.

    Stable Diffusion XL's own computes in float32, whatever is asked for: its activations pass 65504, so that norms in float32 alone do not
    save it. One that was made for float16 says so itself (``force_upcast`` false), and is taken at its word in both halves; Apple's
    converter believes any custom VAE, and in the decoder alone.
    """
    overflows = source.is_xl and source.config(half).get("force_upcast", True)
    return "float32" if overflows else options.precision

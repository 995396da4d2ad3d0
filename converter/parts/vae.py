"""What the two halves of the autoencoder share."""

from converter.options import ConvertOptions, Precision
from converter.source import Source
from sdrt.models.parts import Part as SourcePart

__all__ = ["vae_precision"]


def vae_precision(source: Source, options: ConvertOptions, part: SourcePart) -> Precision:
    """In which precision a half of the autoencoder computes.

    Stable Diffusion XL's own computes in float32, whatever is asked for: its activations pass 65504, so that norms in float32 alone do not
    save it. One that was made for float16 says so itself (``force_upcast`` false), and is taken at its word in both halves; Apple's
    converter believes any custom VAE, and in the decoder alone.
    """
    overflows = source.is_xl and source.config(part).get("force_upcast", True)
    return "float32" if overflows else options.precision

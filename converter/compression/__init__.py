"""Smaller weights: palettization, integers, zeros, and recipes of mixed bits."""

from converter.compression.compressing import compress
from converter.compression.settings import Compression, LinearQuantization, MixedBits, Palettization, Pruning

__all__ = ["Compression", "LinearQuantization", "MixedBits", "Palettization", "Pruning", "compress"]

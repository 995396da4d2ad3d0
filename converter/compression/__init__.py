"""Smaller weights: palettization, integers, zeros, and recipes of mixed bits."""

from converter.compression.compressing import compress
from converter.compression.mixing import Measure, make_recipe
from converter.compression.recipes import Recipe, RecipeEntry
from converter.compression.settings import Compression, LinearQuantization, MixedBits, Palettization, Pruning

__all__ = [
    "Compression",
    "LinearQuantization",
    "Measure",
    "MixedBits",
    "Palettization",
    "Pruning",
    "Recipe",
    "RecipeEntry",
    "compress",
    "make_recipe",
]

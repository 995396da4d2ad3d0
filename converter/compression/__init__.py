"""Compress weights: palettization, integers, zeros, and recipes of mixed bits.

Settings, which options and command lines need, are imported at once; modules that read packages are imported on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from converter.compression.settings import Compression, LinearQuantization, MixedBits, Palettization, Pruning

if TYPE_CHECKING:
    from converter.compression.compressing import compress
    from converter.compression.mixing import Measure, make_recipe
    from converter.compression.recipes import Recipe, RecipeEntry

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

_HOMES = {"Measure": "mixing", "Recipe": "recipes", "RecipeEntry": "recipes", "compress": "compressing", "make_recipe": "mixing"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'converter.compression' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"converter.compression.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""Make recipes of cumulative measurements: for each layer the fewest bits that keep a model above a threshold.

Source of the rule: apple/ml-stable-diffusion at e12202c, ``mixed_bit_compression_pre_analysis.py``.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from converter.compression.pre_analysis import Figures

__all__ = ["mean_bits", "recipe_above", "recipe_name", "thresholds"]


def thresholds(baselines: Mapping[str, float], count: int) -> list[float]:
    """Return evenly spaced thresholds in dB, from just below the uncompressed model to somewhat above int8.

    >>> thresholds({"original": 71.0, "linear_8bit": 45.0}, 3)
    [70.0, 60.0, 50.0]
    """
    spaced: list[float] = np.linspace(baselines["original"] - 1, baselines["linear_8bit"] + 5, count).tolist()
    return spaced


def recipe_above(threshold: float, cumulative: Figures, layers: Sequence[str], default: int) -> dict[str, int]:
    """Choose for each layer the fewest bits whose mean cumulative PSNR is above the threshold, else the default.

    >>> recipe_above(40.0, {2: {"a": (39.0,), "b": (45.0,)}, 4: {"a": (50.0,), "b": (60.0,)}}, ["a", "b"], 16)
    {'a': 4, 'b': 2}
    """
    return {layer: next((bits for bits in sorted(cumulative) if np.mean(cumulative[bits][layer]) > threshold), default) for layer in layers}


def mean_bits(recipe: Mapping[str, int], elements: Mapping[str, int]) -> float:
    """Return the mean number of bits of a weight, over the layers of a recipe."""
    return sum(bits * elements[layer] for layer, bits in recipe.items()) / sum(elements[layer] for layer in recipe)


def recipe_name(recipe: Mapping[str, int], elements: Mapping[str, int]) -> str:
    """Return the name of a recipe.

    >>> recipe_name({"a": 4, "b": 2}, {"a": 100, "b": 300})
    'recipe_2.50_bit_mixedpalette'
    """
    return f"recipe_{mean_bits(recipe, elements):.2f}_bit_mixedpalette"

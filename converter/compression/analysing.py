"""Measure each layer of a U-Net at several widths, and make recipes of mixed bits: what Apple's tool does, with its file.

Source: apple/ml-stable-diffusion at e12202c, ``mixed_bit_compression_pre_analysis.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np

from converter.compression.applying import Progress
from converter.compression.clustering import palettized_values
from converter.compression.pre_analysis import BITS, PreAnalysis
from converter.compression.thresholds import recipe_above, recipe_name, thresholds
from sdrt.arrays import Array
from sdrt.errors import ConversionError

__all__ = ["Drawing", "analyse"]

_Kind: TypeAlias = Literal["single_layer", "cumulative"]


class Drawing(Protocol):
    """What measures; `converter.compression.drawing.DrawnLatents` is one."""

    @property
    def elements(self) -> Mapping[str, int]: ...
    @property
    def fingerprint(self) -> str: ...
    def weight(self, path: str) -> Array: ...
    def every_weight(self) -> Mapping[str, Array]: ...
    def replace(self, weights: Mapping[str, Array]) -> None: ...
    def restore(self) -> None: ...
    def psnr(self) -> tuple[float, ...]: ...
    def half_precision_psnr(self) -> tuple[float, ...]: ...


def analyse(
    drawing: Drawing,
    model: str,
    file: Path,
    *,
    num_recipes: int,
    default_bits: int,
    bits: Sequence[int] = BITS,
    progress: Progress | None = None,
) -> PreAnalysis:
    """Measure, choose, and write the file; an interrupted analysis goes on where it ended.

    Parameters
    ----------
    drawing : Drawing
    model : str
        The model's name in the file.
    file : Path
        Written after each measurement.
    num_recipes : int
        The number of thresholds; recipes of equal mean bits are one, the better of them.
    default_bits : int
        The bits of a layer that no width brings above the threshold.
    bits : sequence of int
    progress : called after each measurement, or None

    Raises
    ------
    ConversionError : the file holds measurements of another model or other prompts, or of Apple's tool; or it cannot be written
    """
    work = _Work(drawing, _earlier(drawing, model, file), file, 2 * len(bits) * len(drawing.elements), progress)
    for width in bits:
        for layer in drawing.elements:
            work.measure("single_layer", width, layer)
            drawing.replace({layer: drawing.every_weight()[layer]})
        for layer in _mildest_first(work.done.single_layer[width]):
            work.measure("cumulative", width, layer)
        drawing.restore()
    done = _with_recipes(replace(work.done, baselines=_baselines(drawing)), drawing, num_recipes, default_bits)
    done.write(file)
    return done


class _Work:
    """An analysis under way; each measurement is in the file at once."""

    def __init__(self, drawing: Drawing, done: PreAnalysis, file: Path, total: int, progress: Progress | None) -> None:
        self.drawing, self.done, self.file = drawing, done, file
        self.total, self.count, self.progress = total, 0, progress

    def measure(self, kind: _Kind, width: int, layer: str) -> None:
        """Replace a layer by its palette, and measure unless an earlier run has; the layer stays replaced."""
        self.drawing.replace({layer: palettized_values(self.drawing.weight(layer), width)})
        every = self.done.single_layer if kind == "single_layer" else self.done.cumulative
        if layer not in every.get(width, {}):
            figures = {**every, width: {**every.get(width, {}), layer: self.drawing.psnr()}}
            self.done = replace(self.done, **{kind: figures})  # type: ignore[arg-type] # the two fields are of one type
            self.done.write(self.file)
        self.count += 1
        if self.progress is not None:
            self.progress(f"{width} bits, {'alone' if kind == 'single_layer' else 'together'}, {layer}", self.count, self.total)


def _mildest_first(alone: Mapping[str, tuple[float, ...]]) -> list[str]:
    return sorted(alone, key=lambda layer: -sum(alone[layer]))


def _earlier(drawing: Drawing, model: str, file: Path) -> PreAnalysis:
    """Return what an interrupted analysis has measured, or an empty one."""
    empty = PreAnalysis(model=model, fingerprint=drawing.fingerprint, elements=dict(drawing.elements))
    if not file.exists():
        return empty
    earlier = PreAnalysis.read(file)
    if (earlier.fingerprint, earlier.elements) != (empty.fingerprint, empty.elements):
        whose = "of Apple's tool" if not earlier.fingerprint else "of other weights or prompts"
        raise ConversionError(
            f"{file}: must hold measurements of this model, got those {whose}; choose another folder with -o, or remove it"
        )
    return replace(earlier, model=model)


def _baselines(drawing: Drawing) -> dict[str, float]:
    original = _mean(drawing.half_precision_psnr())
    for path, weight in drawing.every_weight().items():
        drawing.replace({path: _as_int8(weight)})
    linear = _mean(drawing.psnr())
    drawing.restore()
    return {"original": original, "linear_8bit": linear}


def _as_int8(weight: Array) -> Array:
    """Round to int8 with one scale for all numbers, and back."""
    scale = float(np.abs(weight).max(initial=0.0)) / 127 or 1.0
    rounded: Array = (np.round(weight / scale) * scale).astype(np.float32)
    return rounded


def _with_recipes(analysis: PreAnalysis, drawing: Drawing, count: int, default: int) -> PreAnalysis:
    """Make the recipes, and measure each as a whole."""
    recipes: dict[str, dict[str, int]] = {}
    psnrs: dict[str, float] = {}
    for threshold in thresholds(analysis.baselines, count):
        recipe = recipe_above(threshold, analysis.cumulative, tuple(drawing.elements), default)
        name = recipe_name(recipe, drawing.elements)
        if recipe == recipes.get(name):
            continue
        for layer, bits in recipe.items():
            drawing.replace({layer: _stored(drawing.weight(layer), bits)})
        figure = _mean(drawing.psnr())
        drawing.restore()
        if figure > psnrs.get(name, -np.inf):
            recipes[name], psnrs[name] = recipe, figure
    return replace(analysis, recipes=recipes, recipe_psnr=psnrs)


def _stored(weight: Array, bits: int) -> Array:
    return palettized_values(weight, bits) if bits in BITS else weight


def _mean(figures: Sequence[float]) -> float:
    return round(float(np.mean(figures)), 2)

"""What was measured of a U-Net's layers at several widths, and the recipes made of it, in the JSON of Apple's tool.

Source of the form: apple/ml-stable-diffusion at e12202c, ``mixed_bit_compression_pre_analysis.py``. Its keys are written and read as it
does; what sdrt adds stands under ``sdrt``, and is missing in files of Apple's tool.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from converter.workplace import write_text
from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.models.json_file import read_json
from sdrt.printable import shown
from sdrt.values import Anything, Choice, Integer, Kind, ListOf, MappingOf, Number, Text, read_values

__all__ = ["BITS", "PLAIN_BITS", "Figures", "PreAnalysis", "file_name"]

BITS = (1, 2, 4, 6, 8)
PLAIN_BITS = 16  # a layer that stays as it is

Figures: TypeAlias = Mapping[int, Mapping[str, tuple[float, ...]]]
"""The PSNR of each prompt, in dB, by the number of bits and the layer's path."""

_RECIPE_NAME = re.compile(r"[\w.-]+")  # it becomes part of a file's name
_REPAIR = "pass a file that mixed_bit_compression_pre_analysis wrote, or analyse the model again"
_RECIPES: Kind[Any] = MappingOf(MappingOf(Choice(*BITS, PLAIN_BITS)))
_FIGURES: Kind[Any] = MappingOf(MappingOf(ListOf(Number())))
_OURS: Mapping[str, Kind[Any]] = {
    "fingerprint": Text(),
    "elements": MappingOf(Integer(minimum=1)),
    "recipe_psnr": MappingOf(Number()),
}


@dataclass(frozen=True, kw_only=True)
class PreAnalysis:
    """One model's measurements and recipes.

    Parameters
    ----------
    model : str
        As `sdrt.load` takes it.
    single_layer, cumulative : Figures
        With one layer replaced alone; with all layers replaced up to this one, the mildest first.
    baselines : mapping
        Mean PSNR of the uncompressed model in float16 (``original``), and with int8 weights of one scale each (``linear_8bit``).
    recipes : mapping
        The number of bits of each layer, by the recipe's name; 16 leaves it as it is.
    fingerprint : str
        Tells measurements of one model and set of prompts from others; empty in a file of Apple's tool.
    elements : mapping
        The number of weights of each layer; empty in a file of Apple's tool.
    recipe_psnr : mapping
        Mean PSNR of each recipe as a whole; empty in a file of Apple's tool.
    """

    model: str
    single_layer: Figures = field(default_factory=dict)
    cumulative: Figures = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)
    recipes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    fingerprint: str = ""
    elements: Mapping[str, int] = field(default_factory=dict)
    recipe_psnr: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> "PreAnalysis":
        """Read a file that `write` or Apple's tool wrote.

        Raises
        ------
        MissingFileError : no such file
        ModelError : not a file of measurements
        """
        if not file.is_file():
            raise MissingFileError(f"{file}: must be the file of an analysis, got {'a folder' if file.is_dir() else 'none'}; {_REPAIR}")
        content = read_json(file)
        if "model_version" not in content:
            raise ModelError(f"{file}: must name its model under model_version, got no such key; {_REPAIR}")
        own = content.get("sdrt")
        kinds = {"model_version": Text(), "recipes": _RECIPES}
        if own is not None:
            kinds |= {"single_layer": _FIGURES, "cumulative": _FIGURES, "baselines": MappingOf(Number()), "sdrt": MappingOf(Anything())}
        values = read_values(f"{file}: ", content, kinds, _REPAIR, ModelError)
        ours = read_values(f"{file}: sdrt.", values.pop("sdrt", {}), _OURS, _REPAIR, ModelError)
        for key in ("single_layer", "cumulative"):
            values[key] = {_bits(file, bits): figures for bits, figures in values.get(key, {}).items()}
        return cls(model=values.pop("model_version"), **values, **ours)

    def write(self, file: Path) -> None:
        """Write the file, whole or not at all."""
        content = {
            "single_layer": {str(bits): figures for bits, figures in self.single_layer.items()},
            "cumulative": {str(bits): figures for bits, figures in self.cumulative.items()},
            "model_version": self.model,
            "baselines": self.baselines,
            "recipes": self.recipes,
            "sdrt": {"format": 1, "fingerprint": self.fingerprint, "elements": self.elements, "recipe_psnr": self.recipe_psnr},
        }
        write_text(file, json.dumps(content, indent=2) + "\n")

    def recipe(self, name: str) -> Mapping[str, int]:
        """Return one recipe.

        Raises
        ------
        ConfigError : there is none of this name; the message lists those there are
        """
        if name not in self.recipes:
            there = ", ".join(map(shown, sorted(self.recipes))) or "none: the analysis was not finished; run it again"
            raise ConfigError(f"the recipe must be one of the analysis of {self.model}, got {shown(name)}; those there are {there}")
        if not _RECIPE_NAME.fullmatch(name):
            raise ConfigError(f"the recipe's name must be of letters, digits, dots and dashes, got {shown(name)}; rename it in the file")
        return self.recipes[name]


def file_name(model: str) -> str:
    """Return the name of a model's file, as Apple's tool calls it.

    >>> file_name("stabilityai/stable-diffusion-2-1-base")
    'stabilityai-stable-diffusion-2-1-base_palettization_recipe.json'
    """
    return f"{model.replace('/', '-')}_palettization_recipe.json"


def _bits(file: Path, text: str) -> int:
    if text not in map(str, BITS):
        raise ModelError(f"{file}: numbers of bits must be {', '.join(map(str, BITS))}, got {shown(text)}; {_REPAIR}")
    return int(text)

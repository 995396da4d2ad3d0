"""Find the weights of a package that belong to layers of diffusers' U-Net.

Three ways, the first that knows every layer. By our own record of the conversion, ``sdrt.json`` beside the package: it names the value that
a layer gives, and the operation that computes it names the weight. By the names of the weights, which Apple's converter takes from the
layers. By the numbers: each weight is compared as a whole, up to one factor, with the layer's own in the source. (Apple's tool compares the
first number and the count alone, so that two layers may pass for one another.) The first two need no source, and hold for a fine-tuned
model's package too.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from converter.compression.weights import Weight, find_weights
from sdrt.arrays import Array
from sdrt.backends.coreml import describe
from sdrt.errors import ConfigError
from sdrt.models.coreml.sidecar import SIDECAR, Sidecar
from sdrt.models.json_file import read_json_if_there
from sdrt.models.mlpackage.package import open_package

__all__ = ["match_layers"]

_Found: TypeAlias = dict[str, Weight]

# Rounded to float16 twice, in the source and after our converter's factor.
_APART = 2.0**-9
_FEW = 512  # numbers that decide first whether a comparison of all is worth while


def match_layers(package: Path, layers: Collection[str], source: Callable[[], Mapping[str, Array]]) -> dict[str, Weight]:
    """Return the weight of each layer.

    Parameters
    ----------
    package : path of an uncompressed .mlpackage
    layers : collection of str
        Module paths in diffusers' U-Net.
    source : callable
        Returns the weights of the source's layers by their paths; only called if nothing else knows the layers.

    Raises
    ------
    ConfigError : a layer without a weight in the package; or see `find_weights`
    """
    weights, numbers = find_weights(package, 1)
    found: _Found = {}
    ways: tuple[Callable[[], _Found], ...] = (
        lambda: _by_record(package, weights, layers),
        lambda: _by_names(weights, layers),
        lambda: _by_numbers(weights, numbers, layers, source()),
    )
    for way in ways:
        found = way()
        if found.keys() == set(layers):
            return found
    missing = sorted(set(layers) - found.keys())
    raise ConfigError(
        f"{package.name}: must have a weight for each layer of the recipe, got none for {len(missing)} of {len(layers)} "
        f"({missing[0]}, ...); pass the recipe of this model"
    )


def _by_record(package: Path, weights: Sequence[Weight], layers: Collection[str]) -> _Found:
    """Follow ``sdrt.json`` from the layer to its value, to the operation, to the weight."""
    stated = describe(package).user_defined
    role, sidecar = stated.get("sdrt.role", ""), read_json_if_there(package.parent / SIDECAR).get("coreml", {})
    # the folder may hold other packages by now, and this one come from elsewhere
    if not role or not isinstance(sidecar, Mapping) or sidecar.get("name") != stated.get("sdrt.source"):
        return {}
    by_name = {weight.name: weight for weight in weights}
    weight_of = _weights_by_value(package, by_name)
    values = Sidecar(package.parent).traced_values(role)
    found = {layer: weight_of[values[layer].name] for layer in layers if layer in values and values[layer].name in weight_of}
    for layer in layers:
        # queries are scaled in their weights, so that sdrt.json records no value of theirs; it records that of their keys
        keys = values.get(f"{layer.removesuffix('.to_q')}.to_k") if layer.endswith(".to_q") else None
        if keys is not None and keys.name in weight_of:
            queries = weight_of[keys.name].name.replace("_k_weight", "_q_weight")
            found |= {layer: by_name[queries]} if queries in by_name and queries != weight_of[keys.name].name else {}
    return found


def _weights_by_value(package: Path, by_name: Mapping[str, Weight]) -> dict[str, Weight]:
    """Map values of the program to the weight of the convolution that computes them, or that computes what they are a cast of."""
    program = open_package(package).model.program
    found: dict[str, Weight] = {}
    for operation in () if program is None else next(iter(program.functions.values())).block.operations:
        inputs = {name: argument for name, (argument, *_) in operation.inputs.items() if isinstance(argument, str)}
        output = operation.outputs[0].name if operation.outputs else ""
        if operation.type == "cast" and inputs.get("x") in found:
            found[output] = found[inputs["x"]]
        elif inputs.get("weight") in by_name:
            found[output] = by_name[inputs["weight"]]
    return found


def _by_names(weights: Sequence[Weight], layers: Collection[str]) -> _Found:
    """Take the names of weights for the paths of layers, as coremltools writes those of a network that is traced as it is."""
    by_name = {weight.name.removesuffix("_to_fp16"): weight for weight in weights}
    names = {layer: f"{layer.replace('.', '_')}_weight" for layer in layers}
    return {layer: by_name[name] for layer, name in names.items() if name in by_name}


def _by_numbers(weights: Sequence[Weight], numbers: Mapping[str, Array], layers: Collection[str], source: Mapping[str, Array]) -> _Found:
    """Compare the numbers of weights and layers, whole."""
    free = list(weights)
    found: _Found = {}
    for layer in layers:
        own = source.get(layer)
        alike = [] if own is None else [weight for weight in free if weight.count == own.size and _alike(numbers[weight.name], own)]
        if alike:
            found[layer] = alike[0]
            free.remove(alike[0])
    return found


def _alike(stored: Array, own: Array) -> bool:
    """Return whether two weights are the same up to a factor and rounding to float16."""
    first, second = (array.reshape(-1) for array in (stored, own))
    return _apart(first[:_FEW], second[:_FEW]) < _APART and _apart(first, second) < _APART


def _apart(stored: Array, own: Array) -> float:
    """Return the largest difference from the nearest multiple of ``own``, relative to the largest number; 1 if there is no positive one."""
    x, y = (array.astype(np.float32) for array in (stored, own))
    largest, square = float(np.abs(x).max(initial=0.0)), float(np.dot(y, y))
    if largest == 0 or square == 0:
        return float(largest != square)
    factor = float(np.dot(x, y)) / square
    return 1.0 if factor <= 0 else float(np.abs(x - np.float32(factor) * y).max()) / largest

"""One component's folder: a configuration whose class fits, and the weights beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.json_file import read_json
from sdrt.models.stored_tensor import Place
from sdrt.models.weight_files import WeightFiles
from sdrt.values import ListOf, Nullable, Text, read_values

__all__ = ["class_names", "read_config", "read_weights"]

_NAME = Text(200, empty=False)
_CLASS_KEYS = {"_class_name": _NAME, "architectures": Nullable(ListOf(_NAME, 0, 20))}


def class_names(config: Mapping[str, Any], where: object) -> tuple[str, ...]:
    """Return the names of a configuration's class, by diffusers' key or transformers'; empty where it has none.

    Raises
    ------
    ConfigError : they are no names
    """
    named = read_values(f"{where}: ", config, _CLASS_KEYS, "pass another folder")
    return (named["_class_name"],) if "_class_name" in named else named.get("architectures") or ()


def read_config(component: ComponentName, file: Path, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Read a component's ``config.json`` over the defaults of its class.

    Raises
    ------
    MissingFileError, ModelError : it is not there, is no JSON object, or is of another class of model
    ConfigError : a value is not what its key takes
    """
    config = read_json(file, limits)
    names = class_names(config, file)
    classes = COMPONENTS[component].classes
    if names and not set(names) & set(classes):
        raise ModelError(f"{file}: the class of a {component} must be {' or '.join(classes)}, got {', '.join(names)}; pass another folder")
    return COMPONENTS[component].complete(config, file, limits)


def read_weights(component: ComponentName, weights: WeightFiles, *, memory_map: bool = True) -> ComponentTensors:
    """Read the names of the weights in a component's folder, as canonical ones.

    Parameters
    ----------
    component : ComponentName
    weights : WeightFiles
    memory_map : bool
        See `ComponentTensors`.

    Raises
    ------
    MissingFileError, WeightsError, MissingExtraError : a file is missing, or cannot be used
    """
    canonical_name = COMPONENTS[component].canonical_name
    roots = COMPONENTS[component].roots
    return ComponentTensors(weights.files, lambda plain: (Place(canonical_name(plain)),), weights.index, roots, memory_map=memory_map)

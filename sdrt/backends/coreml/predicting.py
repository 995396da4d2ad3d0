"""What goes into ``predict`` and comes out: cast to the types that a package declares, shapes checked against those that it allows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import ArrayContractError
from sdrt.models.mlpackage.features import Feature
from sdrt.printable import shown

__all__ = ["cast_inputs", "cast_output"]


def cast_inputs(owner: str, features: Sequence[Feature], inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Cast what is given to the arrays that a program computes with, floats as float32.

    Raises
    ------
    ArrayContractError : an input is missing, unknown, no array of numbers, or of a shape that is not allowed
    """
    names = [feature.name for feature in features]
    if not isinstance(inputs, Mapping):
        raise ArrayContractError(f"{owner} input: must be a mapping from names to arrays, got {shown(inputs)}; pass each by its name")
    if unknown := [name for name in inputs if name not in names]:
        raise ArrayContractError(f"{owner} input: does not take {', '.join(map(str, unknown))}; it takes {', '.join(names) or 'nothing'}")
    if missing := [feature.name for feature in features if feature.name not in inputs and feature.default is None]:
        raise ArrayContractError(f"{owner} input: missing {', '.join(missing)}; it takes {', '.join(names)}")
    return {feature.name: _array(owner, feature, inputs) for feature in features}


def _array(owner: str, feature: Feature, inputs: Mapping[str, Any]) -> Array:
    if feature.kind not in ("array", "image"):
        raise ArrayContractError(f"{owner} input: {feature.name} is a {feature.kind}, which cannot be given here; arrays and images can")
    if feature.name not in inputs:
        return np.full(feature.shape, feature.default, _held(feature.dtype))
    try:
        value = np.asarray(inputs[feature.name])
    except Exception as error:  # noqa: BLE001 -- numpy asks the caller's own object for its items
        raise ArrayContractError(f"{owner} input: {feature.name} cannot be made an array ({error}); pass a numpy array") from None
    if value.dtype.kind not in "biuf":
        raise ArrayContractError(f"{owner} input: {feature.name} is {value.dtype}, where numbers are expected; pass a numpy array")
    if feature.kind == "array" and not feature.allows(value.shape):
        raise ArrayContractError(
            f"{owner} input: expected {feature.name} {feature.dtype}{feature.shapes_text()}, "
            f"got {value.dtype}[{','.join(map(str, value.shape))}]"
        )
    with np.errstate(all="ignore"):
        return value.astype(_held(feature.dtype) if feature.kind == "array" else np.dtype(np.float32), copy=False)


def _held(dtype: str) -> np.dtype[Any]:
    """float16 is held as float32."""
    return np.dtype(np.float32) if dtype in ("float16", "") else np.dtype(dtype)


def cast_output(value: Array, dtype: str, precision: str) -> Array:
    """Copy an output in the declared type; float16 stays float32 where float16 is ignored."""
    if dtype in ("", "float16"):
        dtype = "float16" if dtype and precision == "float16" else value.dtype.name
    with np.errstate(all="ignore"):
        return np.array(value, dtype=np.dtype(dtype), order="C")

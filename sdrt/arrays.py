"""Array types, and the one check applied on both sides of every seam.

An array contract is a `TensorSpec`: a name, a dtype, and a shape in which each dimension is a number (exactly that size), a frozenset of
numbers (one of those sizes) or None (any size).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sdrt.errors import ArrayContractError
from sdrt.printable import shown
from sdrt.values import Choice

__all__ = [
    "F32",
    "F64",
    "I32",
    "U8",
    "Array",
    "Dim",
    "Float",
    "Numerics",
    "Signature",
    "TensorSpec",
    "array_digest",
    "check_array",
    "check_arrays",
    "check_finite",
    "float_dtype",
]

Array: TypeAlias = npt.NDArray[Any]
F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
Float: TypeAlias = npt.NDArray[np.floating[Any]]
I32: TypeAlias = npt.NDArray[np.int32]
U8: TypeAlias = npt.NDArray[np.uint8]

Dim: TypeAlias = int | frozenset[int] | None

# A promise about precision, not the dtype of the computation; `float_dtype` gives the dtype of arrays that cross the seams.
Numerics: TypeAlias = Literal["float32", "float64", "exact"]

_FLOAT_DTYPES: dict[str, str] = {"float32": "float32", "float64": "float64", "exact": "float32"}


def float_dtype(numerics: Numerics) -> np.dtype[np.floating[Any]]:
    """Return the dtype that floating-point arrays have on the seams under this promise of precision.

    Raises
    ------
    ConfigError : unknown numerics

    >>> float_dtype("float64")
    dtype('float64')
    """
    return np.dtype(_FLOAT_DTYPES[Choice(*_FLOAT_DTYPES).check("numerics", numerics, "choose one of those")])


@dataclass(frozen=True)
class TensorSpec:
    """The required name, dtype and shape of one array.

    Parameters
    ----------
    name : str
        The name of the array on the seam.
    dtype : str
        A numpy dtype name, such as ``"float32"``.
    shape : tuple of dimensions
        A number, a frozenset of allowed numbers, or None for any.

    >>> str(TensorSpec("sample", "float32", (None, 4, frozenset({64, 96}), 64)))
    'sample float32[*,4,64|96,64]'
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{','.join(map(_dim_text, self.shape))}]"

    def admits(self, x: Array) -> bool:
        """Return whether ``x`` has this dtype and shape."""
        return (
            x.dtype == np.dtype(self.dtype)
            and x.ndim == len(self.shape)
            and all(
                want is None or (got in want if isinstance(want, frozenset) else got == want)
                for want, got in zip(self.shape, x.shape, strict=True)
            )
        )


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a network, each in the network's own order.

    Parameters
    ----------
    inputs, outputs : tuple of TensorSpec
    optional : tuple of TensorSpec
        Inputs that may be omitted: all of them together, or none.
    joint_sizes : tuple of mappings, empty where every combination is allowed
        Allowed combinations of sizes, for networks that restrict them (a Core ML model of fixed shapes): each mapping gives whole shapes by
        input name.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    joint_sizes: tuple[Mapping[str, tuple[int, ...]], ...] = ()
    optional: tuple[TensorSpec, ...] = ()

    def input_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.inputs)

    def optional_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.optional)

    def output_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.outputs)


def _dim_text(dim: Dim) -> str:
    if dim is None:
        return "*"
    return "|".join(map(str, sorted(dim))) if isinstance(dim, frozenset) else str(dim)


def check_array(owner: str, spec: TensorSpec, x: object) -> None:
    """Raise ArrayContractError unless ``x`` is an array that ``spec`` admits.

    Parameters
    ----------
    owner : str
        The network and side that the array belongs to, for the message ("unet input").

    >>> check_array("unet input", TensorSpec("sample", "float32", (None, 4)), np.zeros((2, 3)))
    Traceback (most recent call last):
    ...
    sdrt.errors.ArrayContractError: unet input: expected sample float32[*,4], got float64[2,3]
    """
    if not isinstance(x, np.ndarray):
        raise ArrayContractError(f"{owner}: expected {spec}, got {type(x).__name__}; pass a numpy array")
    if not spec.admits(x):
        raise ArrayContractError(f"{owner}: expected {spec}, got {x.dtype}[{','.join(map(str, x.shape))}]")


def check_arrays(owner: str, specs: tuple[TensorSpec, ...], arrays: Mapping[str, object], optional: tuple[TensorSpec, ...] = ()) -> None:
    """Raise ArrayContractError unless ``arrays`` holds exactly ``specs``, plus all or none of ``optional``, each array as specified."""
    if not isinstance(arrays, Mapping):
        raise ArrayContractError(f"{owner}: expected a mapping of arrays by name, got {shown(arrays)}; {', '.join(map(str, specs))}")
    left_out = [spec.name for spec in optional if spec.name not in arrays]
    if 0 < len(left_out) < len(optional):
        raise ArrayContractError(f"{owner}: missing {', '.join(left_out)}; the {len(optional)} optional arrays come together or not at all")
    expected = specs if left_out else specs + optional
    names = tuple(spec.name for spec in expected)
    if missing := [name for name in names if name not in arrays]:
        raise ArrayContractError(f"{owner}: missing {', '.join(missing)}; expected {', '.join(map(str, specs))}")
    if unknown := [name for name in arrays if name not in names]:
        raise ArrayContractError(f"{owner}: does not take {', '.join(map(str, unknown))}; expected {', '.join(map(str, expected))}")
    for spec in expected:
        check_array(owner, spec, arrays[spec.name])


def array_digest(x: Array) -> str:
    """Return the SHA-256 of an array's dtype, shape and numbers, for records."""
    return hashlib.sha256(f"{x.dtype.name} {x.shape}".encode() + np.ascontiguousarray(x).tobytes()).hexdigest()


def check_finite(owner: str, name: str, x: Array) -> None:
    """Raise ArrayContractError if ``x`` holds a NaN or an infinity; the message counts them."""
    # A sum is finite only if every term is, so one fast pass decides; if the sum overflows, the exact count below clears the array.
    with np.errstate(all="ignore"):
        if np.isfinite(x.sum(dtype=np.float64)):
            return
    if bad := int(x.size - np.count_nonzero(np.isfinite(x))):
        raise ArrayContractError(
            f"{owner}: {name} holds {bad} values of {x.size} that are NaN or infinite; check the weights and inputs before this point"
        )

"""Find the weights of a package that can be compressed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import ConfigError, ModelError
from sdrt.models.mlpackage.mil import Blob, Block, Operation, TensorType
from sdrt.models.mlpackage.package import Package, open_package

__all__ = ["Weight", "find_weights", "fingerprint", "is_compressed", "weight_file"]

# The operations that multiply with a weight, and the parameter it is passed as. Embedding tables (gather) are excluded: all of their error
# reaches the image, and they are small. Masks and position embeddings are added, not multiplied.
_USES: Mapping[str, tuple[str, ...]] = {"conv": ("weight",), "conv_transpose": ("weight",), "linear": ("weight",), "matmul": ("x", "y")}


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One weight of a package.

    Parameters
    ----------
    name : str
        The name of its constant in the program.
    digest : str
        SHA-256 of element type, shape and numbers; with the name it decides whether a measurement or recipe belongs to this weight.
    dtype : "fp16" or "fp32"
    shape : tuple of int
    input_axis : int
        The axis that is summed over, and split into blocks.
    place : int
        Its index among the weights, in the program's order.
    """

    name: str
    digest: str
    dtype: str
    shape: tuple[int, ...]
    input_axis: int
    place: int

    @property
    def count(self) -> int:
        """The number of its elements."""
        return int(np.prod(self.shape))

    @property
    def key(self) -> str:
        """Name and digest, as used in files."""
        return f"{self.name}@{self.digest[:16]}"


def find_weights(path: Path, min_elements: int) -> tuple[tuple[Weight, ...], dict[str, Array]]:
    """Find the weights of convolutions, linear layers and matrix products, in the program's order.

    Parameters
    ----------
    path : path of a .mlpackage
    min_elements : int
        Smaller weights are left out.

    Returns
    -------
    the weights, and their numbers by name (views of the file)
        A weight that is not finite, such as a mask with infinities, is left out: no palette can hold it.

    Raises
    ------
    ConfigError : a pipeline, or a package with several functions
    ModelError : a damaged package
    """
    package = open_package(path)
    block = _only_block(package)
    users = _users(block)
    weights: list[Weight] = []
    numbers: dict[str, Array] = {}
    for operation in block.operations:
        value = operation.attributes.get("val") if operation.type == "const" else None
        if value is None or not isinstance(value.data, Blob) or not isinstance(value.type, TensorType):
            continue
        uses = users.get(operation.name, [])
        shape = tuple(size or 0 for size in value.type.shape)
        if value.type.dtype not in ("fp16", "fp32") or len(shape) < 2 or np.prod(shape) < min_elements or not uses:
            continue
        if not all(name in _USES.get(user.type, ()) for user, name in uses):
            continue
        array = package.blobs.tensor(value.data, value.type)
        if not np.isfinite(array).all():
            continue
        axis = _input_axis(*uses[0], rank=len(shape))
        digest = _digest(value.type.dtype, array)
        weights.append(Weight(name=operation.name, digest=digest, dtype=value.type.dtype, shape=shape, input_axis=axis, place=len(weights)))
        numbers[operation.name] = array
    return tuple(weights), numbers


def is_compressed(path: Path) -> bool:
    """Return whether a package has weights stored other than as plain numbers."""
    return any(operation.type.startswith("constexpr_") for operation in _only_block(open_package(path)).operations)


def weight_file(path: Path) -> Path:
    """Return the only weight file of a package.

    Raises
    ------
    ModelError : no weight file, or several
    """
    files = sorted(path.glob("Data/*/weights/*.bin"))
    if len(files) != 1:
        raise ModelError(f"{path}: must have one weight file, got {len(files)}; convert the model again")
    return files[0]


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of everything an output depends on: operations, connections and constants, but not descriptions or dates."""
    package = open_package(path)
    digest = hashlib.sha256()
    for operation in _only_block(package).operations:
        # Protobuf writes maps in arbitrary order.
        inputs = sorted(operation.inputs.items(), key=lambda item: item[0])
        attributes = sorted(operation.attributes.items(), key=lambda item: item[0])
        names = [(key, [argument for argument in arguments if isinstance(argument, str)]) for key, arguments in inputs]
        digest.update(f"{operation.type} {names} {[key for key, _ in attributes]} {operation.outputs}".encode())
        values = [argument for _, arguments in inputs for argument in arguments if not isinstance(argument, str)]
        for value in (*values, *(value for key, value in attributes if key != "name")):
            if isinstance(value.data, Blob) and isinstance(value.type, TensorType):
                digest.update(np.ascontiguousarray(package.blobs.tensor(value.data, value.type)).data)
            elif isinstance(value.data, np.ndarray) and value.data.dtype != object:
                digest.update(np.ascontiguousarray(value.data).tobytes())
            else:
                digest.update(repr(value.data).encode())
    return digest.hexdigest()


def _only_block(package: Package) -> Block:
    program = package.model.program
    if program is None:
        raise ConfigError(f"{package.path}: must be a single model, got a pipeline; compress the model before it is chunked, or each chunk")
    if len(program.functions) != 1:
        raise ConfigError(f"{package.path}: must have one function to be compressed, got {', '.join(program.functions)}; split it")
    return next(iter(program.functions.values())).block


def _users(block: Block) -> dict[str, list[tuple[Operation, str]]]:
    """Return the readers of each value, with the parameter that each reads it as."""
    users: dict[str, list[tuple[Operation, str]]] = {}
    for operation in block.operations:
        if operation.blocks:
            raise ModelError(
                f"operation {operation.name!r} ({operation.type}) must not have blocks to be compressed, got some; leave it as it is"
            )
        for parameter, arguments in operation.inputs.items():
            for argument in arguments:
                if isinstance(argument, str):
                    users.setdefault(argument, []).append((operation, parameter))
    return users


def _input_axis(operation: Operation, parameter: str, *, rank: int) -> int:
    if operation.type == "conv_transpose":
        return 0
    if operation.type != "matmul":
        return 1
    flag = operation.inputs.get("transpose_x" if parameter == "x" else "transpose_y", ())
    turned = bool(flag and not isinstance(flag[0], str) and isinstance(flag[0].data, np.ndarray) and flag[0].data)
    return rank - 1 if (parameter == "x") != turned else rank - 2


def _digest(dtype: str, array: Array) -> str:
    sha256 = hashlib.sha256(f"{dtype}{array.shape}".encode())
    sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()

"""Pickled weights (``.bin``, ``.ckpt``, ``.pt``, ``.pth``), by torch's own reader of tensors: no other object in them is ever built.

torch is imported here and nowhere else in this package, and only with ``pickled="weights_only"``.
"""

import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sdrt.arrays import Array
from sdrt.errors import MissingExtraError, WeightsError
from sdrt.files import open_file
from sdrt.models.stored_tensor import StoredTensor

__all__ = ["PICKLE_SUFFIXES", "read_tensors", "refusal"]

# Such files would have to be unpickled, which can run code: they are named in messages, and read only where a caller asks for it.
PICKLE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth")

# Below which of its keys a checkpoint may keep its tensors; the first that is there counts.
_WRAPPERS = ("state_dict", "params_ema", "params")

# How torch names the first class or function that it does not build.
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")

_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "bool": "BOOL",
}


def refusal(*names: object) -> str:
    """Say why files that were found are not opened, and both ways out."""
    return (
        f"{', '.join(map(str, names))} would have to be unpickled, which can run code: convert it to safetensors first, or let torch read "
        "tensors from it and nothing else with pickled='weights_only'"
    )


def read_tensors(file: Path, *, memory_map: bool = True) -> list[StoredTensor]:
    """Read the tensors of a pickle, memory-mapped where torch can do so.

    Checkpoints of PyTorch Lightning keep theirs below ``state_dict``, those of BasicSR (upscalers) below ``params_ema`` or ``params``, of
    which the average counts; what lies beside is left alone. Where there are no tensors but groups of them by name, as in IP-Adapters, a
    tensor's name is the group's and its own.

    Parameters
    ----------
    file : Path
    memory_map : bool
        False reads the whole file now.

    Raises
    ------
    MissingFileError : it is not there
    MissingExtraError : torch is not installed
    WeightsError : it is damaged, holds anything but tensors, plain numbers and texts, or no tensors by name
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(f"{file}: is pickled, and torch reads such files; install the extra: pip install 'sdrt[torch]'") from error
    open_file(file, WeightsError).close()
    try:
        # torch maps the zip format that it writes since 1.6; the older one is read whole
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=memory_map and zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        # torch's own text is long, coloured, and proposes to read everything
        named = _GLOBAL.search(str(error))
        what = f"an object of {named[1]}" if named else "more than tensors, or is damaged"
        raise WeightsError(
            f"{file}: holds {what}, and was not unpickled; where you trust it, open it in the program that made it and save its tensors "
            "alone as safetensors (safetensors.torch.save_file)"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError, struct.error) as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(f"{file}: not a whole file of torch's ({reason}); fetch it again") from error
    state = next((content[key] for key in _WRAPPERS if key in content), content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise WeightsError(f"{file}: must hold tensors by name, got a {type(content).__name__}; pass the weights of a model")
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        groups = {name: group for name, group in state.items() if isinstance(group, Mapping) and all(isinstance(key, str) for key in group)}
        inside = ((f"{name}.{key}", value) for name, group in groups.items() for key, value in group.items())
        tensors = {name: value for name, value in inside if isinstance(value, torch.Tensor)}
    for name, tensor in tensors.items():
        if str(tensor.dtype).removeprefix("torch.") not in _DTYPES:
            raise WeightsError(
                f"{file}: tensor {name!r} must be stored as {', '.join(_DTYPES)}, got {tensor.dtype}; convert the file first"
            )
    return [
        StoredTensor(file, name, _DTYPES[str(tensor.dtype).removeprefix("torch.")], tuple(tensor.shape), partial(_bytes, tensor))
        for name, tensor in tensors.items()
    ]


def _bytes(tensor: Any) -> Array:
    import torch

    flat: Array = tensor.detach().contiguous().view(-1).view(torch.uint8).numpy()
    return flat

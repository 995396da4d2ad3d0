"""Arrays of other libraries: what a port returns as a numpy array, and back."""

from typing import Any

import numpy as np

from sdrt.arrays import Array

__all__ = ["as_numpy", "is_torch", "like_torch"]


def is_torch(value: object) -> bool:
    """Whether a value is a torch tensor; torch is not imported to find out."""
    return type(value).__module__.split(".")[0] == "torch"


def as_numpy(value: Any) -> Array:
    """Return a numpy array of a port's array, tensor or list; bfloat16 becomes float32."""
    if is_torch(value):
        tensor = value.detach().cpu()
        return np.asarray((tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy())
    return np.asarray(value)


def like_torch(array: Array) -> Any:
    """Return a torch tensor with a copy of an array, for ports that speak torch; only called where the port did."""
    import torch

    return torch.from_numpy(np.array(array))

"""In which precision tables and coefficients are computed; the samples' dtype is their own."""

from typing import Any, TypeAlias

import numpy as np

from sdrt.arrays import Numerics

__all__ = ["Real", "real_type"]

Real: TypeAlias = "np.floating[Any]"


def real_type(numerics: Numerics) -> type[Any]:
    """Return the scalar type in which tables and coefficients of this numerics are computed."""
    return np.float64 if numerics == "float64" else np.float32

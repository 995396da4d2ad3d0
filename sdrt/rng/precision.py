"""The precisions in which noise can be drawn, and how a float32 becomes one of the narrow ones."""

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F32, Float
from sdrt.errors import ConfigError

__all__ = ["DTYPES", "dtype_name", "narrow", "round_to_bfloat16"]

DTYPES = ("float32", "float64", "float16", "bfloat16")


def dtype_name(dtype: npt.DTypeLike) -> str:
    """Return which of :data:`DTYPES` is meant.

    Raises
    ------
    ConfigError : none of them

    >>> dtype_name(np.float16), dtype_name("bfloat16")
    ('float16', 'bfloat16')
    """
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    try:
        name = "" if dtype is None else np.dtype(dtype).name  # numpy takes None for float64, which nobody asks for by writing it
    except TypeError:
        name = ""
    if name not in DTYPES:
        raise ConfigError(f"noise comes as {', '.join(DTYPES)}, got dtype {dtype!r}; draw one of those and convert it")
    return name


def round_to_bfloat16(x: F32) -> F32:
    """Round finite float32 values to the nearest bfloat16, ties to even; the result is still held as float32.

    >>> round_to_bfloat16(np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32))
    array([1.      , 1.015625], dtype=float32)
    """
    bits = x.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32)


def narrow(x: F32, dtype: str) -> Float:
    """Return float32 values in one of the three dtypes that a float32 result can be rounded to."""
    if dtype == "bfloat16":
        return round_to_bfloat16(x)
    return x.astype(dtype, copy=False)

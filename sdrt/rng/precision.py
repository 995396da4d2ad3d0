"""The precisions that noise can be drawn in, and the rounding of float32 to the smaller ones."""

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F32, Float
from sdrt.errors import ConfigError
from sdrt.printable import shown

__all__ = ["DTYPES", "dtype_name", "round_to_bfloat16", "to_dtype"]

DTYPES = ("float32", "float64", "float16", "bfloat16")


def dtype_name(dtype: npt.DTypeLike) -> str:
    """Return the entry of `DTYPES` that this dtype means.

    Raises
    ------
    ConfigError : not one of them

    >>> dtype_name(np.float16), dtype_name("bfloat16")
    ('float16', 'bfloat16')
    """
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    try:
        name = "" if dtype is None else np.dtype(dtype).name  # numpy reads None as float64, which no caller means by writing it
    except Exception:  # noqa: BLE001 -- numpy parses a text, and asks a caller's object for its dtype and repr
        name = ""
    if name not in DTYPES:
        raise ConfigError(f"dtype of noise must be one of {', '.join(DTYPES)}, got {shown(dtype)}; draw one of those and convert it")
    return name


def round_to_bfloat16(x: F32) -> F32:
    """Round finite float32 values to the nearest bfloat16, ties to even; the result is still stored as float32.

    >>> round_to_bfloat16(np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32))
    array([1.      , 1.015625], dtype=float32)
    """
    bits = x.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32)


def to_dtype(x: F32, dtype: str) -> Float:
    """Return float32 values in one of the dtypes that they can be rounded to: float32, float16 or bfloat16."""
    if dtype == "bfloat16":
        return round_to_bfloat16(x)
    return x.astype(dtype, copy=False)

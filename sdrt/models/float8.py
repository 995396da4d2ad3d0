"""Numbers of eight bits, by a table of their values.

Source: Micikevicius et al. 2022 (arXiv:2209.05433), section 3.
"""

from functools import lru_cache

import numpy as np

from sdrt.arrays import F32

__all__ = ["FLOAT8", "float8_table"]

FLOAT8 = ("F8_E4M3", "F8_E5M2")


@lru_cache(maxsize=2)
def float8_table(dtype: str) -> F32:
    """Return the value of each of the 256 codes.

    Parameters
    ----------
    dtype : "F8_E4M3" or "F8_E5M2"
        E4M3 is torch's ``float8_e4m3fn``: no infinity, one NaN of each sign. E5M2 is the upper half of a float16.

    >>> float8_table("F8_E4M3")[[0x01, 0x38, 0x7E]].tolist(), float8_table("F8_E5M2")[[0x3C, 0x7B, 0xFC]].tolist()
    ([0.001953125, 1.0, 448.0], [1.0, 57344.0, -inf])
    """
    codes = np.arange(256)
    if dtype == "F8_E5M2":
        return (codes << 8).astype(np.uint16).view(np.float16).astype(np.float32)
    exponent, fraction = (codes >> 3) & 15, (codes & 7) / 8
    values = np.where(exponent == 0, np.ldexp(fraction, -6), np.ldexp(1 + fraction, exponent - 7))
    values[(codes & 127) == 127] = np.nan
    return np.where(codes < 128, values, -values).astype(np.float32)

"""How far two pictures stand apart."""

from typing import Any

import numpy as np

__all__ = ["psnr"]


def psnr(a: Any, b: Any) -> float:
    """Return 10 log10(255^2 / mse) of two 8-bit pictures; infinite where they are equal."""
    error = np.mean((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))

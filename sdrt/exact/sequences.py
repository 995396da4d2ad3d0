"""Evenly spaced values and interpolation, in the order of operations of numpy's own functions, each operation rounded alone.

numpy computes its ``arange`` of fractions and its ``interp`` in compiled loops, which a compiler for ARM may contract into fused
multiply-adds. On x86-64 the functions here return numpy's bytes, whatever the precision of a run, so that every mode takes them.
"""

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64

__all__ = ["arange", "interp", "linspace"]


def arange(start: float, stop: float, step: float) -> F64:
    """Return start, start + step, and so on before ``stop``: f64[n], as np.arange does.

    >>> arange(1.0, 0.0, -0.375)
    array([1.   , 0.625, 0.25 ])
    """
    count = max(0, int(np.ceil((stop - start) / step)))
    between = (start + step) - start  # numpy fills by the distance of the first two values, which is rounded
    values: F64 = start + np.arange(count, dtype=np.float64) * between
    if count > 1:
        values[1] = start + step
    return values


def linspace(start: float, stop: float, num: int, *, endpoint: bool = True) -> F64:
    """Return evenly spaced values between two ends: f64[num], as np.linspace does.

    >>> linspace(0, 1, 5)
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    places = np.arange(num, dtype=np.float64)
    parts = num - 1 if endpoint else num
    reach = float(stop) - float(start)
    if parts <= 0:
        return places * reach + start
    step = reach / parts
    values: F64 = (places * step if step else places / parts * reach) + start
    if endpoint and num > 1:
        values[-1] = stop
    return values


def interp(x: npt.ArrayLike, points: npt.ArrayLike, values: npt.ArrayLike) -> F64:
    """Return values at x, linear between rising points and constant beyond them: f64 of x's shape, as np.interp does.

    >>> interp([0.5, 3.0], [0, 1, 2], [10, 20, 40])
    array([15., 40.])
    """
    at, known, heights = (np.asarray(each, np.float64) for each in (x, points, values))
    if len(known) == 1:
        return np.full(at.shape, heights[0])
    low = np.clip(np.searchsorted(known, at, side="right") - 1, 0, len(known) - 2)
    slopes = (heights[1:] - heights[:-1]) / (known[1:] - known[:-1])
    between = slopes[low] * (at - known[low]) + heights[low]
    result: F64 = np.where(at >= known[-1], heights[-1], np.where(at <= known[0], heights[0], between))
    return result

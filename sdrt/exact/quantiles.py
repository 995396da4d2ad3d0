"""Quantiles of rows, whose bytes follow from IEEE 754 alone: a sort, and one interpolation."""

import math

import numpy as np

from sdrt.arrays import Float

__all__ = ["row_quantiles"]


def row_quantiles(rows: Float, ratio: float) -> Float:
    """Return the quantile of each row, linear between neighbours, in torch.quantile's order of operations: f[n].

    The rank is computed in the rows' own type, and the interpolation starts from the nearer neighbour: numpy's own differs in last bits.

    Parameters
    ----------
    rows : float[n,m]
    ratio : float in [0, 1]

    >>> row_quantiles(np.array([[3.0, 1.0, 2.0]]), 0.75)
    array([2.5])
    """
    ordered = np.sort(rows, axis=1)
    real = rows.dtype.type
    rank = real(ratio) * real(rows.shape[1] - 1)
    low = math.floor(rank)
    high = min(low + 1, rows.shape[1] - 1)
    weight = rank - real(low)
    a, b = ordered[:, low], ordered[:, high]
    quantiles: Float = a + weight * (b - a) if weight < 0.5 else b - (b - a) * (real(1) - weight)
    return quantiles

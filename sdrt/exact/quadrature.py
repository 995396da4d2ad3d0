"""Gauss-Legendre quadrature, by Newton's method in decimal arithmetic: numpy finds the points by LAPACK's eigenvalues."""

from decimal import Decimal, localcontext
from functools import cache

import numpy as np

from sdrt.arrays import F64
from sdrt.exact.functions import cos

__all__ = ["gauss_legendre"]


@cache
def gauss_legendre(num_points: int) -> tuple[F64, F64]:
    """Return points, ascending, and weights in [-1, 1], correctly rounded: f64[num_points] each.

    >>> gauss_legendre(2)[0].tolist()
    [-0.5773502691896257, 0.5773502691896257]
    """
    points, weights = [], []
    with localcontext() as context:
        context.prec = 50
        for k in range(num_points, 0, -1):
            x = Decimal(float(cos(np.pi * (k - 0.25) / (num_points + 0.5))))
            for _ in range(6):  # each step doubles the digits
                value, slope = _legendre(num_points, x)
                x -= value / slope
            _, slope = _legendre(num_points, x)
            points.append(float(x))
            weights.append(float(2 / ((1 - x * x) * slope * slope)))
    return np.array(points), np.array(weights)


def _legendre(n: int, x: Decimal) -> tuple[Decimal, Decimal]:
    """Return the Legendre polynomial of degree n and its slope, by Bonnet's recurrence."""
    before, value = Decimal(1), x
    for k in range(2, n + 1):
        before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
    return value, n * (x * value - before) / (x * x - 1)

"""Measure the difference between two arrays."""

import math

import numpy as np

from sdrt.arrays import Array

__all__ = ["allowed_error", "max_error", "psnr", "relative_error"]


def psnr(value: Array, expected: Array) -> float:
    """Return the peak signal-to-noise ratio by the formula of Apple's converter, in dB; -inf where ``value`` is not finite.

    Source: apple/ml-stable-diffusion at e12202c, ``torch2coreml.py``, ``compute_psnr``: its two small terms keep equal arrays finite.

    >>> round(psnr(np.array([1.0, 0.0]), np.array([1.0, 0.1])), 2), psnr(np.array([np.nan]), np.array([1.0]))
    (23.01, -inf)
    """
    if not np.isfinite(value).all():
        return float("-inf")
    error = float(np.sqrt(np.mean(np.square(value.astype(np.float64) - expected))))
    largest = float(np.abs(expected).max(initial=0.0))
    return 20 * math.log10((largest + 1e-5) / (error + 1e-10))


def max_error(value: Array, expected: Array) -> float:
    """Return the largest difference; inf where ``value`` is not finite."""
    if not np.isfinite(value).all():
        return float("inf")
    return float(np.abs(value.astype(np.float64) - expected).max())


def allowed_error(min_psnr: float) -> float:
    """Return the root mean square error, relative to the largest value, that this many decibels mean.

    >>> round(allowed_error(40.0), 6)
    0.01
    """
    return float(10.0 ** (-min_psnr / 20))


def relative_error(value: Array, expected: Array) -> float:
    """Return the root mean square of the differences over that of the expected values.

    inf if shapes differ, or if only one of two values is finite; for integers and booleans, the share of different values.

    >>> relative_error(np.array([3.0, 4.0]), np.array([3.0, 4.5])), relative_error(np.array([np.inf]), np.array([1.0]))
    (0.09245003270420485, inf)
    """
    if value.shape != expected.shape:
        return float("inf")
    if not value.size:
        return 0.0
    if value.dtype.kind != "f":
        return float(np.mean(value != expected))
    finite = np.isfinite(expected)
    if not np.array_equal(np.isfinite(value), finite):
        return float("inf")
    if not finite.all():
        value, expected = value[finite], expected[finite]
    scale = np.sqrt(np.mean(np.square(expected, dtype=np.float64))) if expected.size else 0.0
    error = np.sqrt(np.mean(np.square(value.astype(np.float64) - expected))) if expected.size else 0.0
    return float(error / (scale or 1.0))

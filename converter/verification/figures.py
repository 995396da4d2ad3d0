"""Measure the difference between two arrays by the formula of Apple's converter."""

import math

import numpy as np

from sdrt.arrays import Array

__all__ = ["allowed_error", "psnr"]


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


def allowed_error(min_psnr: float) -> float:
    """Return the root mean square error, relative to the largest value, that this many decibels mean.

    >>> round(allowed_error(40.0), 6)
    0.01
    """
    return float(10.0 ** (-min_psnr / 20))

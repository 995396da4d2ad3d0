"""How far two arrays are apart."""

import numpy as np

from sdrt.arrays import Array

__all__ = ["allowed_error", "max_error", "psnr", "relative_error"]


def psnr(found: Array, wanted: Array) -> float:
    """The peak signal-to-noise ratio by the formula of Apple's converter, in dB; -inf where ``found`` is not finite.

    Source: apple/ml-stable-diffusion at e12202c, ``torch2coreml.py``, ``compute_psnr``: its two small terms keep equal arrays finite.

    >>> round(psnr(np.array([1.0, 0.0]), np.array([1.0, 0.1])), 2), psnr(np.array([np.nan]), np.array([1.0]))
    (23.01, -inf)
    """
    if not np.isfinite(found).all():
        return float("-inf")
    error = np.sqrt(np.mean(np.square(found.astype(np.float64) - wanted)))
    return float(20 * np.log10((np.abs(wanted.astype(np.float64)).max() + 1e-5) / (error + 1e-10)))


def max_error(found: Array, wanted: Array) -> float:
    """The largest difference; inf where ``found`` is not finite."""
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found.astype(np.float64) - wanted).max())


def allowed_error(minimum_psnr: float) -> float:
    """The root mean square error over the largest value that this many decibels stand for.

    >>> round(allowed_error(40.0), 6)
    0.01
    """
    return float(10.0 ** (-minimum_psnr / 20))


def relative_error(found: Array, wanted: Array) -> float:
    """The root mean square of the differences over that of what is wanted.

    inf where shapes differ, or where one is finite and the other is not; for integers and truth values, the share that differs.

    >>> relative_error(np.array([3.0, 4.0]), np.array([3.0, 4.5])), relative_error(np.array([np.inf]), np.array([1.0]))
    (0.09245003270420485, inf)
    """
    if found.shape != wanted.shape:
        return float("inf")
    if not found.size:
        return 0.0
    if found.dtype.kind != "f":
        return float(np.mean(found != wanted))
    finite = np.isfinite(wanted)
    if not np.array_equal(np.isfinite(found), finite):
        return float("inf")
    if not finite.all():
        found, wanted = found[finite], wanted[finite]
    scale = np.sqrt(np.mean(np.square(wanted, dtype=np.float64))) if wanted.size else 0.0
    error = np.sqrt(np.mean(np.square(found.astype(np.float64) - wanted))) if wanted.size else 0.0
    return float(error / (scale or 1.0))

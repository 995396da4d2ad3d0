"""Measure how far two arrays are apart."""

import math
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array

__all__ = ["Difference", "Ulps", "difference", "max_error", "psnr", "relative_error", "ulps"]


def max_error(value: Array, expected: Array) -> float:
    """Return the largest difference; inf where ``value`` is not finite."""
    if not np.isfinite(value).all():
        return float("inf")
    return float(np.abs(value.astype(np.float64) - expected).max(initial=0.0))


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


def psnr(value: Array, expected: Array, peak: float | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB: 20 log10(peak / root mean square error); inf for equal arrays.

    Parameters
    ----------
    peak : float or None
        255 for 8-bit pictures. None: the largest absolute value of ``expected``.

    >>> round(psnr(np.array([0, 128], np.uint8), np.array([0, 127], np.uint8), 255.0), 2), psnr(np.zeros(2), np.zeros(2))
    (51.14, inf)
    """
    if np.array_equal(value, expected):
        return float("inf")
    error = math.sqrt(float(np.mean(np.square(value.astype(np.float64) - expected))))
    top = float(np.abs(expected).max(initial=0)) if peak is None else peak
    if not math.isfinite(error) or not top:
        return float("-inf")
    return 20 * math.log10(top / error) if error else float("inf")


@dataclass(frozen=True)
class Ulps:
    """How many floating-point numbers lie between the values of two arrays, in the coarser of their two dtypes.

    Parameters
    ----------
    median, max : int
    counts : tuple of int
        How many values are 0 apart, 1, 2, 3 to 4, 5 to 8, 9 to 16 and so on.
    """

    median: int
    max: int
    counts: tuple[int, ...]


_UNSIGNED = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def ulps(value: Array, expected: Array) -> Ulps:
    """Count the units in the last place between two arrays of one shape, of the narrower dtype; whole numbers count as float64.

    >>> ulps(np.array([1.0, 2.0, 3.0], np.float32), np.nextafter(np.array([1, 2, 3], np.float32), np.float32(9)))
    Ulps(median=1, max=1, counts=(0, 3))
    """
    floats = [each.dtype if each.dtype.kind == "f" else np.dtype(np.float64) for each in (value, expected)]
    dtype = min(floats, key=lambda each: each.itemsize)
    with np.errstate(over="ignore", under="ignore"):
        (size, sign), (other, other_sign) = _magnitude(value.astype(dtype)), _magnitude(expected.astype(dtype))
    apart = np.where(sign == other_sign, np.maximum(size, other) - np.minimum(size, other), size + other)
    steps = np.minimum(apart, np.uint64(np.iinfo(np.int64).max)).astype(np.int64).ravel()
    if not steps.size:
        return Ulps(0, 0, ())
    places = np.where(steps > 0, np.ceil(np.log2(np.maximum(steps, 1).astype(np.float64))) + 1, 0).astype(np.int64)
    return Ulps(int(np.median(steps)), int(steps.max()), tuple(np.bincount(places).tolist()))


def _magnitude(x: Array) -> tuple[Array, Array]:
    """Return each float's place among the floats of its sign, counted from zero, and whether it is below zero."""
    bits = np.ascontiguousarray(x).view(_UNSIGNED[x.dtype.itemsize]).astype(np.uint64)
    half = np.uint64(1 << (8 * x.dtype.itemsize - 1))
    return bits & (half - np.uint64(1)), bits >= half


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far an array is from another.

    Parameters
    ----------
    max, mean : float
        The largest and the mean absolute difference.
    relative : float
        The largest absolute difference over the largest absolute value of the other.
    psnr : float
        dB, of that value as the peak; inf for equal arrays.
    cosine : float
        Of the angle between both; 1 where they point the same way.
    ulps : Ulps
    """

    max: float
    mean: float
    relative: float
    psnr: float
    cosine: float
    ulps: Ulps

    @property
    def equal(self) -> bool:
        """Whether both are the same numbers."""
        return self.max == 0


def difference(value: Array, expected: Array) -> Difference:
    """Measure the difference of two arrays of floats of one shape.

    >>> found = difference(np.array([1.0, 2.0]), np.array([1.0, 2.5]))
    >>> found.max, found.mean, found.relative, round(found.psnr, 2), round(found.cosine, 4)
    (0.5, 0.25, 0.2, 16.99, 0.9965)
    """
    a, b = value.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    apart = np.abs(a - b)
    largest, top = float(apart.max(initial=0.0)), float(np.abs(b).max(initial=0.0))
    norms = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return Difference(
        max=largest,
        mean=float(apart.mean()) if apart.size else 0.0,
        relative=largest / top if top else (float("inf") if largest else 0.0),
        psnr=psnr(value, expected),
        cosine=1.0 if not largest else (float(a @ b) / norms if norms else 0.0),
        ulps=ulps(value, expected),
    )

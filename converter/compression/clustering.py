"""A palette of so many values for a weight: k-means in one dimension.

coremltools takes an exact method for large float16 weights (about a second a weight at 8 bits) and scikit-learn's for others. On a line,
k-means needs neither: float16 has 65,536 values, whose counts are all there is to know of a weight, and a step of Lloyd's method over
running sums of them costs microseconds whatever the weight's size. It begins at the point density that is best for many points (Panter &
Dite 1951: the cube root of the values' density) and ends where no value changes its group; measured against the exact method, the mean
squared error is at most 2% larger, see ``tests/converter/test_compression.py``.

Source: Lloyd, Least squares quantization in PCM, 1982, method I.
"""

import numpy as np
import numpy.typing as npt

from sdrt.arrays import Array

__all__ = ["cluster", "palettized_values"]

_STEPS = 1000  # of Lloyd's method at most; 8 bits take a few hundred


def cluster(weight: Array, nbits: int) -> tuple[Array, Array]:
    """A palette and indices into it.

    Parameters
    ----------
    weight : f16 or f32 array, finite
        float32 is rounded to float16's eleven bits to be counted, relative to the largest number.
    nbits : int, 1 to 8

    Returns
    -------
    palette of weight's dtype [2**nbits], ascending before its unused entries, which are 0; u8[weight.size]
    """
    largest = float(np.abs(weight).max(initial=0.0))
    scale = 1.0 if weight.dtype == np.float16 or largest == 0 else largest
    half = np.ascontiguousarray(weight if weight.dtype == np.float16 else weight / np.float32(scale), np.float16).reshape(-1)
    codes = half.view(np.uint16)
    counts = np.bincount(codes, minlength=1 << 16)
    used = np.flatnonzero(counts)
    values = used.astype(np.uint16).view(np.float16).astype(np.float64)
    order = np.argsort(values, kind="stable")
    used, values = used[order], values[order]
    centres, starts = _lloyd(values, counts[used].astype(np.float64), 1 << nbits)
    index_of_code = np.zeros(1 << 16, np.uint8)
    index_of_code[used] = np.searchsorted(starts, np.arange(len(values)), side="right") - 1
    palette = np.zeros(1 << nbits, np.float64)
    palette[: len(centres)] = centres
    return (palette * scale).astype(weight.dtype), index_of_code[codes]


def palettized_values(weight: Array, nbits: int) -> Array:
    """The weight that comes back from its palette; same shape and dtype."""
    palette, indices = cluster(weight, nbits)
    found: Array = palette[indices].reshape(weight.shape)
    return found


def _lloyd(
    values: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], groups: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Centres of groups of ascending values, and where in ``values`` each group starts."""
    if len(values) <= groups:
        return values, np.arange(len(values))
    mass = np.concatenate([[0.0], np.cumsum(counts)])
    moment = np.concatenate([[0.0], np.cumsum(counts * values)])
    starts = _first_groups(values, counts, groups)
    for _ in range(_STEPS):
        ends = np.append(starts[1:], len(values))
        centres = (moment[ends] - moment[starts]) / (mass[ends] - mass[starts])
        moved = _none_empty(np.append(0, np.searchsorted(values, (centres[1:] + centres[:-1]) / 2)), len(values))
        if np.array_equal(moved, starts):
            break
        starts = moved
    return centres, starts


def _first_groups(values: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], groups: int) -> npt.NDArray[np.int64]:
    """Groups of one share each of the cube root of the density; at least one value in each."""
    edges = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2, values[-1:]])
    share = np.cumsum(np.cbrt(counts * np.diff(edges) ** 2))
    starts = np.append(0, np.searchsorted(share, share[-1] * np.arange(1, groups) / groups))
    return _none_empty(starts, len(values))


def _none_empty(starts: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Ascending starts with at least one value between them."""
    place = np.arange(len(starts))
    found: npt.NDArray[np.int64] = np.minimum(np.maximum.accumulate(starts - place) + place, count - len(starts) + place)
    return found

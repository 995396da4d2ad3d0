"""Gaussian filters, as a weighted sum of shifted pictures."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from sdrt.arrays import F32
from sdrt.exact.functions import exp

__all__ = ["convolved"]


def convolved(values: F32, sigma: float, reach: int, axes: Sequence[int], border: Literal["edge", "reflect"]) -> F32:
    """Convolve with a Gaussian along some axes.

    Parameters
    ----------
    values : f32 of any shape
    sigma : float
        Its standard deviation, in pixels.
    reach : int (pixels)
        Where it is cut off.
    axes : sequence of int
    border : "edge" or "reflect"
        What lies beyond the borders: their pixels again, or the picture mirrored.
    """
    places = np.arange(-reach, reach + 1) / sigma
    weights = exp(-0.5 * (places * places))
    weights = (weights / math.fsum(weights.tolist())).astype(np.float32)
    for axis in axes:
        padding = [(reach, reach) if each == axis else (0, 0) for each in range(values.ndim)]
        padded = np.moveaxis(np.pad(values, padding, mode=border), axis, 0)
        total = np.zeros((values.shape[axis], *padded.shape[1:]), np.float32)
        term = np.empty_like(total)
        for start, weight in enumerate(weights):
            total += np.multiply(padded[start : start + len(total)], weight, out=term)
        values = np.ascontiguousarray(np.moveaxis(total, 0, axis))
    return values

# ruff: noqa: ARG001 - every parameter of MIL stands in the signature, also where the result does not depend on it
"""Pictures of another size: the last two axes are height and width."""

import math
from typing import Literal

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.coreml.ops.arguments import flag, integer, integers, number, text
from sdrt.backends.coreml.ops.registry import Shape, operation

__all__ = ["upsample_nearest_neighbor"]

_MODES = ("DEFAULT", "STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "UNALIGN_CORNERS", "OFFSET_CORNERS")


def _scaled(
    x: Array, scale_factor_height: Array | float = 1, scale_factor_width: Array | float = 1, align_corners: Array | bool = True
) -> Shape:
    factors = number(scale_factor_height), number(scale_factor_width)
    if not all(0 < factor < 2**31 for factor in factors):
        raise ValueError(f"scale factors must be positive, got {factors}")
    return (*x.shape[:-2], *(math.floor(size * factor) for size, factor in zip(x.shape[-2:], factors, strict=True)))


def _target(
    x: Array, target_size_height: Array | int = 1, target_size_width: Array | int = 1, sampling_mode: Array | str = "DEFAULT"
) -> Shape:
    return (*x.shape[:-2], integer(target_size_height), integer(target_size_width))


@operation("upsample_nearest_neighbor", sizes=_scaled, moves=True)
def upsample_nearest_neighbor(x: Array, scale_factor_height: Array | float = 1, scale_factor_width: Array | float = 1) -> Array:
    """floor(size * factor) pixels, each a copy of pixel floor(i / factor); stays in memory order."""
    height, width = _scaled(x, scale_factor_height, scale_factor_width)[-2:]
    return _nearest(x, _copied(height, x.shape[-2]), _copied(width, x.shape[-1]))


@operation("resize_nearest_neighbor", sizes=_target, moves=True)
def resize_nearest_neighbor(x: Array, target_size_height: Array, target_size_width: Array) -> Array:
    """Each pixel a copy of pixel floor(i * from / to)."""
    return _nearest(x, _copied(integer(target_size_height), x.shape[-2]), _copied(integer(target_size_width), x.shape[-1]))


@operation("upsample_bilinear", sizes=_scaled)
def upsample_bilinear(
    x: Array, scale_factor_height: Array | float = 1, scale_factor_width: Array | float = 1, align_corners: Array | bool = True
) -> Array:
    """floor(size * factor) pixels, each between its four neighbours; corners meet, or pixels are areas."""
    sizes = _scaled(x, scale_factor_height, scale_factor_width)[-2:]
    mode = "STRICT_ALIGN_CORNERS" if flag(align_corners) else "UNALIGN_CORNERS"
    return _linear(x, sizes, mode)


@operation("resize_bilinear", sizes=_target)
def resize_bilinear(
    x: Array, target_size_height: Array | int = 1, target_size_width: Array | int = 1, sampling_mode: Array | str = "DEFAULT"
) -> Array:
    """Each pixel between its four neighbours, at the places that ``sampling_mode`` says."""
    return _linear(x, _target(x, target_size_height, target_size_width)[-2:], text(sampling_mode))


def _resized(
    x: Array, shape: Array, resized_dims: Array, interpolation_mode: Array | str = "LINEAR", sampling_mode: Array | str = "DEFAULT"
) -> Shape:
    count, sizes = integer(resized_dims), integers(shape)
    if not 0 <= count <= min(2, len(sizes), x.ndim):
        raise ValueError(f"shape must change at most the last two axes, got {count}")
    wanted = sizes[len(sizes) - count :]
    return (*x.shape[: x.ndim - count], *(want or have for want, have in zip(wanted, x.shape[x.ndim - count :], strict=True)))


@operation("resize", sizes=_resized)
def resize(
    x: Array, shape: Array, resized_dims: Array, interpolation_mode: Array | str = "LINEAR", sampling_mode: Array | str = "DEFAULT"
) -> Array:
    """Give the last axes the sizes at the end of ``shape``, where 0 keeps the present size."""
    wide = x if x.ndim > 1 else x[None]
    target = _resized(x, shape, resized_dims)
    sizes = (target if x.ndim > 1 else (1, *target))[-2:]
    if text(interpolation_mode) == "LINEAR":
        return _linear(wide, sizes, text(sampling_mode)).reshape(target)
    if text(interpolation_mode) != "NEAREST_NEIGHBOR":
        raise ValueError(f"interpolation_mode must be LINEAR or NEAREST_NEIGHBOR, got {text(interpolation_mode)!r}")
    rows, columns = (
        np.floor(_grid(have, want, text(sampling_mode)) + (0.5 if text(sampling_mode) != "DEFAULT" else 0.0)).astype(np.int64)
        for have, want in zip(wide.shape[-2:], sizes, strict=True)
    )
    return _nearest(wide, np.minimum(rows, wide.shape[-2] - 1), np.minimum(columns, wide.shape[-1] - 1)).reshape(target)


@operation("crop", moves=True)
def crop(x: Array, crop_height: Array, crop_width: Array) -> Array:
    """Pixels cut off above and below, left and right."""
    (top, bottom), (left, right) = integers(crop_height), integers(crop_width)
    height, width = x.shape[-2:]
    if min(top, bottom, left, right) < 0 or top + bottom > height or left + right > width:
        raise ValueError(f"{top}+{bottom} rows and {left}+{right} columns cannot be cut from {height}x{width}")
    return x[..., top : height - bottom, left : width - right]


def _copied(to: int, have: int) -> Array:
    return np.arange(to) * have // max(1, to)


def _nearest(x: Array, rows: Array, columns: Array) -> Array:
    if x.ndim == 4 and x.strides[1] == min(x.strides):
        # channels lie side by side: whole pixels are copied
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)[:, rows[:, None], columns]).transpose(0, 3, 1, 2)
    return x[..., rows[:, None], columns]


def _grid(have: int, to: int, mode: str) -> Float:
    """Where a picture's row or column of ``have`` pixels is sampled for ``to`` pixels, float64[to] in [0, have - 1]."""
    if mode not in _MODES:
        raise ValueError(f"sampling_mode must be {', '.join(_MODES)}, got {mode!r}")
    index = np.arange(to, dtype=np.float64)
    if mode == "ALIGN_CORNERS" and to == 1:
        points = np.array([(have - 1) / 2])
    elif mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        points = index * ((have - 1) / max(1, to - 1))
    elif mode == "UNALIGN_CORNERS":
        points = (index + 0.5) * (have / to) - 0.5
    elif mode == "DEFAULT":
        points = index * ((have - have / to) / max(1, to - 1))
    else:
        delta = max(1, have - 1) / to
        points = 0.5 * delta + index * delta
    return np.asarray(np.clip(points, 0, have - 1))


def _linear(x: Array, sizes: tuple[int, ...], mode: str) -> Array:
    out = x.astype(np.float64)
    axes: tuple[Literal[-2], Literal[-1]] = (-2, -1)
    for axis, to in zip(axes, sizes, strict=True):
        points = _grid(x.shape[axis], to, mode)
        low = np.floor(points).astype(np.int64)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        part = (points - low).reshape(-1, 1) if axis == -2 else points - low
        out = np.take(out, low, axis) * (1 - part) + np.take(out, high, axis) * part
    return out.astype(x.dtype)

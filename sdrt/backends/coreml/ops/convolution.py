# ruff: noqa: ARG001 - every parameter of MIL stands in the signature, also where the result does not depend on it
"""Convolution and its transpose, over one to three spatial axes.

Pictures of one group go through the numpy backend's kernels: they lie in memory as [n, height, width, channels] and are seen as MIL's
[n, channels, height, width]; results are such views again, so that a chain of operations never moves a number for its layout.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import integer, integers, text
from sdrt.backends.coreml.ops.registry import Shape, operation
from sdrt.backends.coreml.ops.windows import Windows, windows_of
from sdrt.backends.numpy.conv import Conv3x3
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["conv", "conv_transpose", "nhwc", "pack3x3"]


def _conv_windows(
    x: Array, weight: Array, strides: Array | None, pad_type: Array | str, pad: Array | None, dilations: Array | None
) -> Windows:
    if x.ndim < 3 or weight.ndim != x.ndim:
        raise ValueError(f"x and weight must have batch, channels and as many spatial axes each, got {x.ndim} and {weight.ndim} axes")
    return windows_of(x.shape[2:], weight.shape[2:], strides=strides, pad_type=pad_type, pad=pad, dilations=dilations)


def _conv_shape(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Array | None = None,
    pad_type: Array | str = "valid",
    pad: Array | None = None,
    dilations: Array | None = None,
    groups: Array | int = 1,
) -> Shape:
    return (x.shape[0], weight.shape[0], *_conv_windows(x, weight, strides, pad_type, pad, dilations).counts)


@operation("conv", sizes=_conv_shape, team=True)
def conv(
    team: ThreadTeam,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Array | None = None,
    pad_type: Array | str = "valid",
    pad: Array | None = None,
    dilations: Array | None = None,
    groups: Array | int = 1,
) -> Array:
    """Convolution.

    Parameters
    ----------
    x : float[n, in, *sizes]
    weight : float[out, in / groups, *kernel]
    bias : float[out]
    strides, dilations : one a spatial axis
    pad_type, pad : see `windows_of`
    groups : int

    Returns
    -------
    float[n, out, *counts]
    """
    windows = _conv_windows(x, weight, strides, pad_type, pad, dilations)
    count = integer(groups)
    if count < 1 or x.shape[1] != weight.shape[1] * count or weight.shape[0] % count:
        raise ValueError(f"{x.shape[1]} channels in {count} groups do not fit weights of shape {list(weight.shape)}")
    offset = np.zeros(weight.shape[0], x.dtype) if bias is None else bias
    if count == 1 and x.ndim == 4 and is_plain3x3(windows):
        return conv3x3(team, Conv3x3(pack3x3(weight), offset), x, windows)
    last = np.moveaxis(windows.padded(x), 1, -1)
    return np.moveaxis(_by_taps(team, last, weight, offset, windows, count), -1, 1)


def is_plain3x3(windows: Windows) -> bool:
    """Whether the numpy backend's 3x3 kernel computes this."""
    return windows.kernel == (3, 3) and windows.dilations == (1, 1) and windows.strides[0] == windows.strides[1]


def pack3x3(weight: Array) -> Array:
    """float[out, in, 3, 3] -> float[9 * in, out], as the numpy backend's kernel wants it."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0]))


def conv3x3(
    team: ThreadTeam, kernel: Conv3x3, x: Array, windows: Windows, shift: Array | None = None, residual: Array | None = None
) -> Array:
    """Convolve float[n, in, h, w] by the numpy backend's 3x3 kernel; `shift` and `residual` as there, NHWC."""
    picture = x.transpose(0, 2, 3, 1)
    (top, bottom), (left, right) = windows.pads
    n, height, width, channels = picture.shape
    if top or bottom or left or right:
        padded = team.scratch.take("padded", (n, height + top + bottom, width + left + right, channels), x.dtype)
        padded[...] = 0
        padded[:, top : top + height, left : left + width] = picture
    else:
        padded = np.ascontiguousarray(picture)
    return kernel(team, padded, stride=windows.strides[0], shift=shift, residual=residual).transpose(0, 3, 1, 2)


def nhwc(x: Array) -> Array:
    """float[n, c, ...] -> float[n, ..., c], C-contiguous; a view where it lies so in memory."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def _by_taps(team: ThreadTeam, padded: Array, weight: Array, bias: Array, windows: Windows, groups: int) -> Array:
    """Any convolution, as a sum of products, one for each place of the kernel: float[n, *sizes, in] -> float[n, *counts, out]."""
    n, channels, per_group = padded.shape[0], weight.shape[0], weight.shape[1]
    out = np.empty((n, *windows.counts, channels), padded.dtype)
    out[...] = bias
    each = channels // groups
    for group in range(groups):
        inputs = slice(group * per_group, (group + 1) * per_group)
        outputs = slice(group * each, (group + 1) * each)
        for tap in product(*map(range, windows.kernel)):
            taken = np.ascontiguousarray(padded[(slice(None), *_places(tap, windows), inputs)])
            out[..., outputs] += np.asarray(Linear(_at_tap(weight[outputs], tap).T, None)(team, taken))
    return out


def _at_tap(weight: Array, tap: tuple[int, ...]) -> Array:
    """Return the matrix of one place of a kernel: the first two axes."""
    for index in tap:
        weight = weight[:, :, index]
    return weight


def _places(tap: Sequence[int], windows: Windows) -> list[slice]:
    starts = [index * dilation for index, dilation in zip(tap, windows.dilations, strict=True)]
    return [
        slice(start, start + (count - 1) * stride + 1, stride)
        for start, count, stride in zip(starts, windows.counts, windows.strides, strict=True)
    ]


def _transposed(
    x: Array,
    weight: Array,
    strides: Array | None,
    pad_type: Array | str,
    pad: Array | None,
    dilations: Array | None,
    output_shape: Array | None,
) -> tuple[Windows, tuple[int, ...]]:
    """Find the convolution that this one transposes, and the size of its input."""
    if x.ndim < 3 or weight.ndim != x.ndim:
        raise ValueError(f"x and weight must have batch, channels and as many spatial axes each, got {x.ndim} and {weight.ndim} axes")
    rank = x.ndim - 2
    steps = (1,) * rank if strides is None else integers(strides)
    spread = (1,) * rank if dilations is None else integers(dilations)
    kernel, kind = weight.shape[2:], text(pad_type).lower()
    if len(steps) != rank or len(spread) != rank or min(*steps, *spread, *kernel) < 1:
        raise ValueError(f"strides {steps}, dilations {spread} and kernel {kernel} are positive, one for each of {rank} axes")
    full = [(size - 1) * step + (tap - 1) * gap + 1 for size, step, tap, gap in zip(x.shape[2:], steps, kernel, spread, strict=True)]
    wanted = None if output_shape is None else integers(output_shape)[-rank:]
    if kind == "custom":
        given = (0,) * (2 * rank) if pad is None else integers(pad)
        if len(given) != 2 * rank or min(given) < 0:
            raise ValueError(f"pad must have two numbers, at least 0, for each of {rank} axes, got {given}")
        pads = list(zip(given[::2], given[1::2], strict=True))
    elif kind in ("valid", "same", "same_lower"):
        goal = wanted or (full if kind == "valid" else [size * step for size, step in zip(x.shape[2:], steps, strict=True)])
        cut = [max(0, have - want) if kind != "valid" else 0 for have, want in zip(full, goal, strict=True)]
        pads = [((both + (kind == "same_lower")) // 2, both - (both + (kind == "same_lower")) // 2) for both in cut]
    else:
        raise ValueError(f"pad_type must be valid, custom, same or same_lower, got {kind!r}")
    sizes = tuple(wanted or [have - before - after for have, (before, after) in zip(full, pads, strict=True)])
    if min(sizes) < 1 or any(size > have - before + step for size, have, (before, _), step in zip(sizes, full, pads, steps, strict=True)):
        raise ValueError(f"a result of {sizes} cannot come from {tuple(full)} cut by {pads}")
    windows = Windows(kernel=kernel, strides=steps, dilations=spread, pads=tuple(pads), counts=x.shape[2:])
    return windows, sizes


def _transposed_shape(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    pad: Array | None = None,
    output_shape: Array | None = None,
    pad_type: Array | str = "valid",
    strides: Array | None = None,
    dilations: Array | None = None,
    groups: Array | int = 1,
) -> Shape:
    _, sizes = _transposed(x, weight, strides, pad_type, pad, dilations, output_shape)
    return (x.shape[0], weight.shape[1] * integer(groups), *sizes)


@operation("conv_transpose", sizes=_transposed_shape, team=True)
def conv_transpose(
    team: ThreadTeam,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    pad: Array | None = None,
    output_shape: Array | None = None,
    pad_type: Array | str = "valid",
    strides: Array | None = None,
    dilations: Array | None = None,
    groups: Array | int = 1,
) -> Array:
    """Compute the gradient of a convolution: each number of ``x`` adds a kernel to the result.

    Parameters
    ----------
    x : float[n, in, *sizes]
    weight : float[in, out / groups, *kernel]
    pad : cut off before and after, for each axis
    output_shape : the shape of the result, where padding leaves it open

    Returns
    -------
    float[n, out, *sizes]
    """
    windows, sizes = _transposed(x, weight, strides, pad_type, pad, dilations, output_shape)
    count = integer(groups)
    if count < 1 or x.shape[1] != weight.shape[0] or weight.shape[0] % count:
        raise ValueError(f"{x.shape[1]} channels in {count} groups do not fit weights of shape {list(weight.shape)}")
    each_in, each_out = weight.shape[0] // count, weight.shape[1]
    room = [
        max(before + size, (have - 1) * step + (tap - 1) * gap + 1)
        for (before, _), size, have, step, tap, gap in zip(
            windows.pads, sizes, windows.counts, windows.strides, windows.kernel, windows.dilations, strict=True
        )
    ]
    whole = np.zeros((x.shape[0], *room, each_out * count), x.dtype)
    last = np.moveaxis(x, 1, -1)
    for group in range(count):
        taken = np.ascontiguousarray(last[..., group * each_in : (group + 1) * each_in])
        outputs = slice(group * each_out, (group + 1) * each_out)
        for tap in product(*map(range, windows.kernel)):
            kernel = _at_tap(weight[group * each_in : (group + 1) * each_in], tap)
            part = np.asarray(Linear(kernel, None)(team, taken))
            whole[(slice(None), *_places(tap, windows), outputs)] += part
    inside = tuple(slice(before, before + size) for (before, _), size in zip(windows.pads, sizes, strict=True))
    result = np.ascontiguousarray(whole[(slice(None), *inside)])
    return np.moveaxis(result if bias is None else result + bias, -1, 1)

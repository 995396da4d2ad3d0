"""Operations that give the same numbers another shape or order. Results are views wherever numpy can make one."""

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import axes_of, axis_of, flag, integer, integers
from sdrt.backends.coreml.ops.registry import Shape, operation

__all__ = ["reshape", "transpose"]


@operation("reshape", moves=True)
def reshape(x: Array, shape: Array) -> Array:
    """Another shape: -1 stands for what remains, 0 for the same axis of x where the ranks are equal."""
    target = list(integers(shape))
    if len(target) == x.ndim:
        target = [have if want == 0 else want for have, want in zip(x.shape, target, strict=True)]
    return x.reshape(target)


@operation("reshape_like", moves=True)
def reshape_like(
    x: Array, ref_tensors: tuple[Array, ...], begins: tuple[Array, ...], ends: tuple[Array, ...], end_masks: tuple[Array, ...]
) -> Array:
    """Make a shape of some axes of other arrays side by side."""
    target: list[int] = []
    for other, begin, end, mask in zip(ref_tensors, begins, ends, end_masks, strict=True):
        target += other.shape[integer(begin) : None if flag(mask) else integer(end)]
    return x.reshape(target)


@operation("transpose", moves=True)
def transpose(x: Array, perm: Array) -> Array:
    """Axes in another order."""
    return x.transpose(axes_of(perm, x.ndim))


@operation("expand_dims", moves=True)
def expand_dims(x: Array, axes: Array) -> Array:
    """Insert axes of length 1; ``axes`` count in the result."""
    return np.expand_dims(x, axes_of(axes, x.ndim + np.asarray(axes).size))


@operation("squeeze", moves=True)
def squeeze(x: Array, axes: Array | None = None) -> Array:
    """Axes of one number taken out: all such, or those that are named and are such."""
    return np.squeeze(x, tuple(axis for axis in axes_of(axes, x.ndim) if x.shape[axis] == 1))


@operation("flatten2d", moves=True)
def flatten2d(x: Array, axis: Array | int = 1) -> Array:
    """Two axes: what stands before ``axis``, and the rest."""
    at = integer(axis)
    at = at + x.ndim if at < 0 else at
    return x.reshape(int(np.prod(x.shape[:at], dtype=np.int64)), -1)


@operation("concat", moves=True)
def concat(values: tuple[Array, ...], axis: Array, interleave: Array | bool = False) -> Array:
    """Side by side along an axis; interleaved, one of each in turn. Scalars count as one number."""
    parts = [np.atleast_1d(value) for value in values]
    along = axis_of(axis, parts[0].ndim)
    if flag(interleave):
        stacked = np.stack(parts, axis=along + 1)
        return stacked.reshape(*parts[0].shape[:along], -1, *parts[0].shape[along + 1 :])
    return np.concatenate(parts, axis=along)


@operation("stack", moves=True)
def stack(values: tuple[Array, ...], axis: Array) -> Array:
    """Side by side along a new axis."""
    return np.stack(values, axis=axis_of(axis, values[0].ndim + 1))


@operation("split", moves=True)
def split(x: Array, axis: Array, num_splits: Array | None = None, split_sizes: Array | None = None) -> tuple[Array, ...]:
    """Parts along an axis: of the sizes that are given, or of equal size."""
    along = axis_of(axis, x.ndim)
    if split_sizes is not None:
        sizes = integers(split_sizes)
    elif num_splits is not None and integer(num_splits) > 0 and x.shape[along] % integer(num_splits) == 0:
        sizes = (x.shape[along] // integer(num_splits),) * integer(num_splits)
    else:
        raise ValueError(f"split needs split_sizes, or num_splits that divides {x.shape[along]}")
    if sum(sizes) != x.shape[along] or min(sizes) < 0:
        raise ValueError(f"split_sizes {list(sizes)} do not add up to {x.shape[along]}")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=along))


def _tile_shape(x: Array, reps: Array) -> Shape:
    times = integers(reps)
    if len(times) != x.ndim or min(times, default=1) < 0:
        raise ValueError(f"reps must have a number for each of {x.ndim} axes, got {list(times)}")
    return tuple(size * count for size, count in zip(x.shape, times, strict=True))


@operation("tile", sizes=_tile_shape, moves=True)
def tile(x: Array, reps: Array) -> Array:
    """Repeated along each axis."""
    return np.tile(x, integers(reps))


@operation("reverse", moves=True)
def reverse(x: Array, axes: Array | None = None) -> Array:
    """Backwards along some axes, or along all."""
    return np.flip(x, axes_of(axes, x.ndim))


@operation("reverse_sequence", moves=True)
def reverse_sequence(x: Array, lengths: Array, seq_axis: Array | int = 0, batch_axis: Array | int = 0) -> Array:
    """Backwards along ``seq_axis`` for the first numbers, a count for each place of ``batch_axis``."""
    along, batch = axis_of(seq_axis, x.ndim), axis_of(batch_axis, x.ndim)
    out = x.copy()
    rows, targets = np.moveaxis(x, (batch, along), (0, 1)), np.moveaxis(out, (batch, along), (0, 1))
    for index, count in enumerate(integers(lengths)):
        targets[index, :count] = rows[index, :count][::-1]
    return out


@operation("depth_to_space", moves=True)
def depth_to_space(x: Array, block_size: Array) -> Array:
    """Channels to pixels; of a channel's number, the block's place is the slow part and the new channel the fast one."""
    n, channels, height, width = x.shape
    b = _factor(block_size)
    return x.reshape(n, b, b, channels // (b * b), height, width).transpose(0, 3, 4, 1, 5, 2).reshape(n, -1, height * b, width * b)


@operation("space_to_depth", moves=True)
def space_to_depth(x: Array, block_size: Array) -> Array:
    """Pixels to channels, as `depth_to_space` takes them."""
    n, channels, height, width = x.shape
    b = _factor(block_size)
    return x.reshape(n, channels, height // b, b, width // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(n, -1, height // b, width // b)


@operation("pixel_shuffle", moves=True)
def pixel_shuffle(x: Array, upscale_factor: Array) -> Array:
    """Channels to pixels as torch has it: the new channel is the slow part."""
    n, channels, height, width = x.shape
    b = _factor(upscale_factor)
    return x.reshape(n, channels // (b * b), b, b, height, width).transpose(0, 1, 4, 2, 5, 3).reshape(n, -1, height * b, width * b)


@operation("pixel_unshuffle", moves=True)
def pixel_unshuffle(x: Array, downscale_factor: Array) -> Array:
    """Pixels to channels as torch has it."""
    n, channels, height, width = x.shape
    b = _factor(downscale_factor)
    return x.reshape(n, channels, height // b, b, width // b, b).transpose(0, 1, 3, 5, 2, 4).reshape(n, -1, height // b, width // b)


@operation("space_to_batch", moves=True)
def space_to_batch(x: Array, block_shape: Array, paddings: Array) -> Array:
    """Blocks of padded pixels to pictures."""
    (rows, columns), pads = integers(block_shape), np.asarray(paddings).tolist()
    padded = np.pad(x, [(0, 0), (0, 0), *map(tuple, pads)])
    n, channels, height, width = padded.shape
    apart = padded.reshape(n, channels, height // rows, rows, width // columns, columns)
    return apart.transpose(3, 5, 0, 1, 2, 4).reshape(-1, channels, height // rows, width // columns)


@operation("batch_to_space", moves=True)
def batch_to_space(x: Array, block_shape: Array, crops: Array) -> Array:
    """Pictures to blocks of pixels, then cut."""
    (rows, columns), ((top, bottom), (left, right)) = integers(block_shape), np.asarray(crops).tolist()
    _, channels, height, width = x.shape
    apart = x.reshape(rows, columns, -1, channels, height, width).transpose(2, 3, 4, 0, 5, 1)
    whole = apart.reshape(-1, channels, height * rows, width * columns)
    return whole[:, :, top : height * rows - bottom, left : width * columns - right]


@operation("shape")
def shape_of(x: Array) -> Array:
    """Return the sizes of the axes, int32."""
    return np.array(x.shape, np.int32)


def _factor(value: Array) -> int:
    factor = integer(value)
    if factor < 1:
        raise ValueError(f"block_size must be at least 1, got {factor}")
    return factor

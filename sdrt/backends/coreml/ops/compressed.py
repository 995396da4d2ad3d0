"""Constants that are stored small: ``constexpr_*`` of iOS 16 and 18, and the quantisation of values while running.

Arithmetic is float32 whatever the scale's type; coremltools' own decompression computes in float16 where the scale is float16, which rounds
once more.
"""

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import axis_of, integers, text
from sdrt.backends.coreml.ops.registry import operation
from sdrt.models.mlpackage.dtypes import NUMPY, SUB_BYTE_BITS, size_of, unpack_bits

__all__: list[str] = []


@operation("constexpr_cast")
def constexpr_cast(source_val: Array, output_dtype: Array) -> Array:
    """Another element type, of floats alone."""
    if text(output_dtype) not in ("fp32", "fp16"):
        raise ValueError(f"output_dtype must be fp32 or fp16, got {text(output_dtype)!r}")
    return source_val.astype(np.float32)


@operation("constexpr_affine_dequantize")
def constexpr_affine_dequantize(quantized_data: Array, zero_point: Array, scale: Array, axis: Array) -> Array:
    """Scale (data - zero_point), both one number, or one for each place of an axis."""
    at = axis_of(axis, quantized_data.ndim)
    return _affine(quantized_data, scale, zero_point, at)


@operation("constexpr_blockwise_shift_scale")
def constexpr_blockwise_shift_scale(data: Array, scale: Array, offset: Array | None = None) -> Array:
    """Scale (data - offset), one of each for every block; blocks are as large as the shapes' quotients."""
    factor = _blown_up(scale.astype(np.float32), data.shape)
    shifted = data.astype(np.float32)
    if offset is not None:
        shifted -= _blown_up(offset.astype(np.float32), data.shape)
    shifted *= factor
    return shifted


@operation("constexpr_lut_to_dense")
def constexpr_lut_to_dense(indices: Array, lut: Array, shape: Array | None = None, vector_axis: Array | None = None) -> Array:
    """Numbers looked up in tables.

    Parameters
    ----------
    indices : uint8[bytes] with ``shape`` (iOS 16: packed, the first in the lowest bits), or uint8[...] one index a number (iOS 18)
    lut : [2**bits] (iOS 16), or [..., 2**bits, vector] with one table for each block of ``indices`` (iOS 18)
    shape : of the result (iOS 16)
    vector_axis : the axis along which a table's vectors lie (iOS 18)
    """
    if shape is not None:
        bits = int(lut.size).bit_length() - 1
        target = integers(shape)
        if lut.ndim != 1 or 2**bits != lut.size or (bits != 8 and f"uint{bits}" not in SUB_BYTE_BITS):
            raise ValueError(f"lut must have 2, 4, 8, 16, 64 or 256 numbers, got {list(lut.shape)}")
        if min(target, default=1) < 0 or indices.size != -(-size_of(target) * bits // 8):
            raise ValueError(f"{size_of(target)} indices of {bits} bits do not fit {indices.size} bytes")
        flat = indices if bits == 8 else unpack_bits(indices, f"uint{bits}", size_of(target))
        return np.asarray(lut[flat]).reshape(target)
    return _looked_up(indices, lut, vector_axis)


@operation("constexpr_sparse_to_dense")
def constexpr_sparse_to_dense(nonzero_data: Array, mask: Array, shape: Array | None = None) -> Array:
    """Zeros with numbers where a mask has ones: packed bits with ``shape`` (iOS 16), or one bit a number (iOS 18)."""
    if shape is not None:
        target = integers(shape)
        if min(target, default=1) < 0 or mask.size != -(-size_of(target) // 8):
            raise ValueError(f"{size_of(target)} bits do not fit {mask.size} bytes")
        mask = unpack_bits(mask, "uint1", size_of(target)).reshape(target)
    return _spread_out(nonzero_data, mask)


@operation("constexpr_lut_to_sparse")
def constexpr_lut_to_sparse(
    indices_mask: Array, indices_nonzero_data: Array, lut: Array, vector_axis: Array | None = None
) -> tuple[Array, Array]:
    """Sparse indices looked up: the mask of the result, and its numbers that are not masked."""
    dense = _looked_up(_spread_out(indices_nonzero_data, indices_mask), lut, vector_axis)
    mask = indices_mask
    if vector_axis is not None and lut.shape[-1] > 1:
        mask = np.repeat(mask, lut.shape[-1], axis=axis_of(vector_axis, mask.ndim))
    return mask, dense[mask != 0]


@operation("constexpr_sparse_blockwise_shift_scale")
def constexpr_sparse_blockwise_shift_scale(
    data_mask: Array, nonzero_data: Array, scale: Array, offset: Array | None = None
) -> tuple[Array, Array]:
    """Sparse numbers shifted and scaled: the mask, and the numbers that are not masked."""
    dense = constexpr_blockwise_shift_scale(_spread_out(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask != 0]


# "input" is what MIL calls the array
@operation("dequantize", renamed={"input": "data"})
def dequantize(data: Array, scale: Array, zero_point: Array | None = None, axis: Array | None = None) -> Array:
    """Scale (data - zero_point) while running."""
    return _affine(data, scale, zero_point, 0 if axis is None else axis_of(axis, data.ndim))


@operation("quantize", renamed={"input": "data"})
def quantize(data: Array, scale: Array, output_dtype: Array, zero_point: Array | None = None, axis: Array | None = None) -> Array:
    """round(data / scale) + zero_point, cut to what the type holds."""
    at = 0 if axis is None else axis_of(axis, data.ndim)
    target = NUMPY[text(output_dtype)]
    rounded = np.rint(data / _along(scale, data, at))
    if zero_point is not None:
        rounded = rounded + _along(zero_point.astype(np.float32), data, at)
    bounds = np.iinfo(target)
    return np.clip(rounded, bounds.min, bounds.max).astype(target)


def _affine(data: Array, scale: Array, zero_point: Array | None, axis: int) -> Array:
    out = data.astype(np.float32)
    if zero_point is not None:
        out -= _along(zero_point.astype(np.float32), data, axis)
    out *= _along(scale.astype(np.float32), data, axis)
    return out


def _along(value: Array, data: Array, axis: int) -> Array:
    return value.reshape([-1 if index == axis else 1 for index in range(data.ndim)]) if value.ndim == 1 else value


def _blown_up(value: Array, shape: tuple[int, ...]) -> Array:
    """One number a block -> one number each, as a view where a block is a whole axis."""
    if value.ndim != len(shape) or any(not small or size % small for size, small in zip(shape, value.shape, strict=True)):
        raise ValueError(f"blocks of shape {list(value.shape)} do not divide {list(shape)}")
    for axis, (size, small) in enumerate(zip(shape, value.shape, strict=True)):
        if 1 < small < size:
            value = np.repeat(value, size // small, axis)
    return value


def _looked_up(indices: Array, lut: Array, vector_axis: Array | None) -> Array:
    rank = indices.ndim
    if lut.ndim != rank + 2 or any(not small or size % small for size, small in zip(indices.shape, lut.shape[:rank], strict=True)):
        raise ValueError(f"tables of shape {list(lut.shape)} do not fit indices of shape {list(indices.shape)}")
    if lut.shape[-1] > 1 and vector_axis is None:
        raise ValueError("tables of vectors need a vector_axis")
    # the table that a number uses has the coordinates of its block
    tables = [
        (np.arange(size) // (size // small)).reshape([-1 if axis == at else 1 for axis in range(rank)])
        for at, (size, small) in enumerate(zip(indices.shape, lut.shape[:rank], strict=True))
    ]
    looked_up = lut[(*tables, indices.astype(np.int64))]
    if lut.shape[-1] == 1:
        return np.asarray(looked_up[..., 0])
    axis = axis_of(vector_axis, rank) if vector_axis is not None else 0
    return np.moveaxis(np.asarray(looked_up), -1, axis + 1).reshape(*indices.shape[:axis], -1, *indices.shape[axis + 1 :])


def _spread_out(numbers: Array, mask: Array) -> Array:
    if np.count_nonzero(mask) != numbers.size:
        raise ValueError(f"a mask of {np.count_nonzero(mask)} ones does not fit {numbers.size} numbers")
    out = np.zeros(mask.shape, numbers.dtype)
    out[mask != 0] = numbers
    return out

"""Box-Muller as in torch's CPU kernels: each group of 16 uniforms (8 for radii, then 8 for angles) becomes 8 cosine and 8 sine values.

There are three kernels: float32 with AVX2, float32 without, and float64.

Source: ``NormalFill16`` in ATen/native/cpu/DistributionTemplates.h of torch 2.13.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F32, F64
from sdrt.exact.mathematics import Functions
from sdrt.rng.cephes import Scratch, log_unit, sincos_turn

__all__ = ["GROUP", "U32", "U64", "fill_avx2", "fill_double", "fill_scalar", "uniform_doubles"]

U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]

GROUP = 16
_BLOCK = 8192  # pairs at a time, so that every buffer stays in the second-level cache
_TWO_PI = 2.0 * math.pi


def fill_avx2(words: U32, out: F32) -> None:
    """Turn u32[16 k] words, which are overwritten, into f32[16 k] normals with torch's vector polynomials, bit for bit."""
    pairs = len(words) // 2
    block = min(pairs, _BLOCK)
    scratch = Scratch(block)
    radius, sine, cosine = np.empty((3, block), np.float32)
    np.bitwise_and(words, 0xFFFFFF, out=words)
    groups = words.view(np.int32).reshape(-1, 2, 8)  # 24-bit numbers: signed ones convert faster
    result = out.reshape(-1, 2, 8)
    for start in range(0, pairs, block):
        count = min(block, pairs - start)
        part = slice(start // 8, (start + count) // 8)
        r, s, c = radius[:count], sine[:count], cosine[:count]
        r.reshape(-1, 8)[...] = groups[part, 0]
        s.reshape(-1, 8)[...] = groups[part, 1]
        np.multiply(r, np.float32(2.0**-24), out=r)
        np.subtract(np.float32(1), r, out=r)  # (0, 1]
        log_unit(r, scratch)
        np.multiply(r, np.float32(-2), out=r)
        np.sqrt(r, out=r)
        np.multiply(s, np.float32(2.0**-24), out=s)
        sincos_turn(s, c, scratch)
        for angle, place in ((c, 0), (s, 1)):
            np.multiply(r, angle, out=angle)
            np.add(angle, np.float32(0), out=angle)  # torch adds the mean: -0 becomes 0
            result[part, place] = angle.reshape(-1, 8)


def fill_scalar(words: U32, out: F32, functions: Functions) -> None:
    """Turn u32[16 k] words into f32[16 k] normals with a float32 libm whose log, cos and sin are correctly rounded."""
    result = out.reshape(-1, 2, 8)
    for start in range(0, len(result), _BLOCK // 8):
        part = slice(start, start + _BLOCK // 8)
        uniforms = (words.reshape(-1, 2, 8)[part] & np.uint32(0xFFFFFF)) * 2.0**-24
        radius = np.sqrt(np.float32(-2) * functions.log(1.0 - uniforms[:, 0]).astype(np.float32))
        angle = (_TWO_PI * uniforms[:, 1]).astype(np.float32).astype(np.float64)  # multiplied in double, then rounded
        for place, function in ((0, functions.cos), (1, functions.sin)):
            result[part, place] = radius * function(angle).astype(np.float32) + np.float32(0)


def fill_double(words: U64, out: F64, functions: Functions) -> None:
    """Turn u64[16 k] words into f64[16 k] normals with the platform's libm, one value at a time, or with functions of our own.

    numpy's own float64 log, cos and sin are vector code on some processors and then differ in the last bit from libm's, which torch calls.
    """
    uniforms = uniform_doubles(words).reshape(-1, 2, 8)
    result = out.reshape(-1, 2, 8)
    radius = np.sqrt(-2.0 * functions.each(functions.log, 1.0 - uniforms[:, 0]))
    angles = _TWO_PI * uniforms[:, 1]
    for place, function in ((0, functions.cos), (1, functions.sin)):
        result[:, place] = radius * functions.each(function, angles) + 0.0


def uniform_doubles(words: U64) -> F64:
    """Return the uniforms in [0, 1) that the low 53 bits of each word represent."""
    return (words & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0**-53

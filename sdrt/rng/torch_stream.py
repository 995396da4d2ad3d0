"""The stream ``torch``: float32 ``torch.randn`` on a CPU generator, bit for bit as the x86-64 (AVX2) builds draw it.

Source: ATen/native/cpu/DistributionTemplates.h and ATen/core/DistributionsHelper.h of torch 2.13. Builds without AVX2 (ARM, or
``ATEN_CPU_CAPABILITY=default``) call the platform's libm instead: about 38 % of their values differ, by at most 2.3e-6.
"""

import math

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F32
from sdrt.rng.base import Shape, seed_error, size_and_shape
from sdrt.rng.cephes import Scratch, log_unit, sincos_turn
from sdrt.rng.mt19937 import Mt19937

__all__ = ["TorchStream"]

_LOWEST, _HIGHEST = -(2**63), 2**64 - 1  # what torch.Generator.manual_seed takes
_GROUP = 16  # Box-Muller works on 8 radii followed by 8 angles
_BLOCK = 8192  # pairs at a time: every buffer stays in the second-level cache


class TorchStream:
    """A torch CPU generator's ``randn``.

    Parameters
    ----------
    seed : int, -2**63 <= seed < 2**64
        Only its low 32 bits count, as in torch: 42 and 2**32 + 42 give the same noise.

    Raises
    ------
    ConfigError : the seed is outside that range
    """

    name = "torch"

    def __init__(self, seed: int) -> None:
        if not _LOWEST <= seed <= _HIGHEST:
            raise seed_error(self.name, seed, _LOWEST, _HIGHEST)
        self.seed = seed
        self._engine = Mt19937(seed & 0xFFFFFFFF)
        self._spare: float | None = None  # second normal of a pair; torch too keeps it through large draws until the next small one

    def normal(self, shape: Shape) -> F32:
        """Draw f32 of this shape: what ``torch.randn(shape, generator=g)`` gives at this point of the generator."""
        size, dims = size_and_shape(shape)
        if size < _GROUP:
            return np.array([self._one() for _ in range(size)], np.float32).reshape(dims)
        out = np.empty(size, np.float32)
        words = self._engine.words(size)
        whole = size - size % _GROUP
        _fill(words[:whole], out[:whole])
        if whole != size:
            # The last 16 values are drawn anew, so that the tail costs 16 words more and overlaps the last whole group.
            _fill(self._engine.words(_GROUP), out[-_GROUP:])
        return out.reshape(dims)

    def _one(self) -> float:
        """Draw one normal in double precision; they come in pairs, and the second waits for the next call."""
        if self._spare is not None:
            value, self._spare = self._spare, None
            return value
        u1, u2 = self._engine.doubles(2)
        radius = math.sqrt(-2.0 * math.log1p(-u2))
        theta = 2.0 * math.pi * u1
        self._spare = radius * math.sin(theta)
        return radius * math.cos(theta)


def _fill(words: npt.NDArray[np.uint32], out: F32) -> None:
    """Turn u32[16 k] words into f32[16 k] normals, in groups of 16: 8 radii and 8 angles become 8 cosine and 8 sine values."""
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

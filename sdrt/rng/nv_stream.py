"""The stream ``nv``: ``torch.randn`` on a CUDA device, as accurate as the device's own sine.

The words are exact: Philox 4x32-10, with a separate subsequence for each thread of the GPU. A kernel starts no more threads than the GPU
holds at once, so the values of a large draw depend on the GPU: that is the parameter ``threads``. The uniforms are the GPU's float32
numbers too. The normals are computed from them in float64 and rounded once, whereas a GPU uses its approximations ``logf`` and
``__sincosf``: expect a difference of about 1e-6, not equal bits.

stable-diffusion-webui and Apple's pipeline compute the uniforms in float64. This moves normals by 2e-7 (root mean square), and a few of
those near 0, where a GPU rounds the first uniform to almost 1, by more: in four million, two by over 1e-5, the largest by 3e-5.

Source: ATen/native/cuda/DistributionTemplates.h of torch 2.13 (``calc_execution_policy``, the grid-stride kernel), and NVIDIA's
curand_normal.h (``_curand_box_muller``, ``_curand_box_muller_double``).
"""

from collections.abc import Callable, Mapping
from typing import Any, SupportsIndex, TypeAlias

import numpy as np

from sdrt.arrays import F32, F64, Array, Float, Numerics
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.printable import shown
from sdrt.rng.base import SeededStream, Shape, State, read_state, size_and_shape
from sdrt.rng.philox import U32, philox4x32
from sdrt.rng.precision import to_dtype
from sdrt.values import Anything, Integer, RefusedError

__all__ = ["NvStream"]

_THREAD_BLOCK = 256  # threads that a GPU starts together
_LANES = 4096  # threads computed at a time, so that their buffers stay in the second-level cache
_LAST = 2**64 - 1  # a GPU counts in 64 bits
_WORD = np.float32(2.0**-32)
_WORD_ANGLE = float(np.float32(_WORD * np.float32(6.2831855)))  # curand's float32 constant for 2 pi / 2**32


_Transform: TypeAlias = Callable[[U32, Array, Functions], None]


class NvStream(SeededStream):
    """A CUDA generator's ``randn``.

    Each call uses new counters: unlike with a CPU generator, two draws of 8 are not the halves of a draw of 16.

    Parameters
    ----------
    seed : int, -2**63 <= seed < 2**64
    threads : int, a multiple of 256, or None
        Threads that the GPU holds at once: multiprocessors times threads of each (A100: 108 * 2048; RTX 3090: 82 * 1536). Draws of at
        most that many values are the same on every GPU. None stands for a GPU that holds any draw, as in stable-diffusion-webui's "NV"
        source, stable-diffusion.cpp and Apple's Swift pipeline.

    Raises
    ------
    ConfigError : the seed is outside that range, or ``threads`` is not a positive multiple of 256

    >>> NvStream(0).normal(3)
    array([-0.9246625 , -0.42534396, -2.6438458 ], dtype=float32)
    """

    name = "nv"
    seed_range = (-(2**63), 2**64 - 1)
    option_names = ("threads",)

    def __init__(self, seed: int, *, threads: int | None = None, numerics: Numerics = "float32") -> None:
        super().__init__(seed, numerics=numerics)
        self.threads = _check_threads(threads)
        self._offset = 0  # counters used so far by every thread

    def _draw(self, size: int, dims: tuple[int, ...], dtype: str) -> Float:  # noqa: ARG002
        """Return what ``torch.randn(dims, dtype=dtype, device="cuda", generator=g)`` would give at this point of the generator."""
        if dtype == "float64":
            doubles: F64 = self._fill(size, 2, _normals_double, np.float64)
            return doubles
        return to_dtype(self._fill(size, 4, _normals_float, np.float32), dtype)

    def _fill(self, size: int, per_counter: int, transform: _Transform, dtype: type[np.floating[Any]]) -> Array:
        """Draw as the grid-stride kernel does: each thread fills a column, with several values from each of its counters."""
        width = self._width(size)
        rows = -(-size // width)
        out = np.empty((rows, width), dtype)
        for first in range(0, rows, per_counter):
            for start in range(0, width, _LANES):
                part = out[first : first + per_counter, start : start + _LANES]
                count = part.shape[1]
                counters = (self._offset & 0xFFFFFFFF, self._offset >> 32, np.arange(start, start + count), 0)
                transform(philox4x32(counters, self.seed & 0xFFFFFFFF_FFFFFFFF, count), part, self._functions)
            self._offset = (self._offset + 1) & _LAST
        return out.reshape(-1)[:size]

    def _width(self, size: int) -> int:
        """Return the number of threads that the GPU starts for this many values."""
        wanted = max(1, -(-size // _THREAD_BLOCK)) * _THREAD_BLOCK
        return wanted if self.threads is None else min(wanted, self.threads)

    def advance(self, shape: Shape) -> None:
        """Leave the stream where a float32 ``normal(shape)`` would leave it, without drawing."""
        size, _ = size_and_shape(shape, most=None)
        self._offset = (self._offset + -(-size // (4 * self._width(size)))) & _LAST

    @property
    def state(self) -> State:
        """As in every stream, plus the GPU's number of threads."""
        return {**super().state, "options": {"threads": self.threads}}

    def _cursor(self) -> State:
        return {"offset": self._offset}

    def _resume(self, state: Mapping[str, Any]) -> None:
        seed, cursor, options = read_state(
            self.name, state, {"seed": Integer(*self.seed_range), "cursor": Anything(), "options": Anything()}
        ).values()
        offset = read_state(self.name, cursor, {"offset": Integer(0, _LAST)})["offset"]
        threads = read_state(self.name, options, {"threads": Anything()})["threads"]
        self.threads = _check_threads(threads)
        self.seed, self._offset = seed, offset


def _check_threads(threads: SupportsIndex | None) -> int | None:
    if threads is None:
        return None
    rule, repair = (
        f"threads must be a positive multiple of {_THREAD_BLOCK} or None",
        "multiply the GPU's multiprocessors by the threads of each",
    )
    try:
        count = Integer(minimum=1).convert(threads)
    except RefusedError:
        count = 1
    if count % _THREAD_BLOCK:
        raise ConfigError(f"{rule}, got {shown(threads)}; {repair}")
    return count


def _normals_float(words: U32, out: F32, functions: Functions) -> None:
    """Turn u32[4,n] into f32[k,n] normals, k <= 4: words 0 and 1 give a sine and a cosine value, words 2 and 3 the next two."""
    for row in range(0, len(out), 2):
        u = words[row].astype(np.float32)
        np.multiply(u, _WORD, out=u)
        np.add(u, _WORD / 2, out=u)  # (0, 1]: rounded as on the GPU, which moves values near 0
        angle = words[row + 1].astype(np.float32).astype(np.float64)
        np.multiply(angle, _WORD_ANGLE, out=angle)
        np.add(angle, _WORD_ANGLE / 2, out=angle)  # in float64: the GPU fuses these two and rounds once
        _spin(_radius(u.astype(np.float64), functions), angle.astype(np.float32).astype(np.float64), out[row : row + 2], functions)


def _normals_double(words: U32, out: F64, functions: Functions) -> None:
    """Turn u32[4,n] into f64[k,n] normals, k <= 2: words 0 and 1 give the radius, words 2 and 3 the angle, 53 bits from each pair."""
    radius_bits, angle_bits = (words[i] ^ (words[i + 1].astype(np.uint64) << np.uint64(21)) for i in (0, 2))
    radius = _radius(radius_bits * 2.0**-53 + 2.0**-54, functions)
    _spin(radius, np.pi * (angle_bits * 2.0**-52 + 2.0**-53), out, functions)


def _radius(u: F64, functions: Functions) -> F64:
    """Return sqrt(-2 log u)."""
    logarithms: F64 = functions.log(u)
    np.multiply(logarithms, -2.0, out=logarithms)
    return np.sqrt(logarithms, out=logarithms)


def _spin(radius: F64, angle: F64, out: Float, functions: Functions) -> None:
    """Write the sine and, if there is room, the cosine value to the rows of ``out``."""
    for row, function in zip(out, (functions.sin, functions.cos), strict=False):
        np.multiply(radius, function(angle), out=row, casting="same_kind")
        np.add(row, 0, out=row)  # torch adds the mean: -0 becomes 0

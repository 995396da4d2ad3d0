"""The stream ``torch``: a torch CPU generator, bit for bit as the x86-64 (AVX2) builds draw from it.

Source: ATen/native/cpu/DistributionTemplates.h, ATen/core/DistributionsHelper.h and ATen/core/TransformationHelper.h of torch 2.13.
Builds without AVX2 draw float32 normals with the platform's libm instead: see `sdrt.rng.torch_scalar_stream`.
Before 2.13 the half precisions did so everywhere.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F32, F64, Float, Numerics
from sdrt.errors import ConfigError
from sdrt.rng.base import F16, MT_WORDS, SeededStream, Shape, State, read_state, size_and_shape
from sdrt.rng.mt19937 import Mt19937
from sdrt.rng.precision import dtype_name, to_dtype
from sdrt.rng.torch_normals import GROUP, U32, fill_avx2, fill_double, uniform_doubles
from sdrt.rng.torch_permutation import permutation
from sdrt.values import Anything, Integer, Nullable, Number

__all__ = ["TorchStream"]

I64 = npt.NDArray[np.int64]

_BOUND = Integer(-(2**63), 2**63 - 1)
_WIDE_RANGE = 1 << 28  # from this range on, an integer uses a 64-bit word


class TorchStream(SeededStream):
    """A torch CPU generator.

    Parameters
    ----------
    seed : int, -2**63 <= seed < 2**64
        Only its low 32 bits matter, as in torch: 42 and 2**32 + 42 give the same noise.

    Raises
    ------
    ConfigError : the seed is outside that range
    """

    name = "torch"
    seed_range = (-(2**63), 2**64 - 1)  # the range of torch.Generator.manual_seed

    def __init__(self, seed: int, *, numerics: Numerics = "float32") -> None:
        super().__init__(seed, numerics=numerics)
        self._engine = Mt19937(seed & 0xFFFFFFFF)
        self._spare: float | None = None  # second normal of a pair; torch too keeps it through large draws until the next small one

    def _draw(self, size: int, dims: tuple[int, ...], dtype: str) -> Float:  # noqa: ARG002
        """Return what ``torch.randn(dims, dtype=dtype, generator=g)`` would give at this point of the generator."""
        if size < GROUP:
            singles = np.array([self._next_normal() for _ in range(size)], np.float64)
            return singles if dtype == "float64" else to_dtype(singles.astype(np.float32), dtype)
        whole = size - size % GROUP
        if dtype == "float64":
            doubles = np.empty(size)
            words = self._engine.wide_words(size)
            fill_double(words[:whole], doubles[:whole], self._functions)
            if whole != size:
                fill_double(self._engine.wide_words(GROUP), doubles[-GROUP:], self._functions)
            return doubles
        out = np.empty(size, np.float32)
        # float32 draws one word for each value and uses those of whole groups; half precisions draw group by group.
        self._fill(self._engine.words(size if dtype == "float32" else whole)[:whole], out[:whole])
        if whole != size:
            # The last 16 values are drawn again, so the tail uses 16 more words and overlaps the last whole group.
            self._fill(self._engine.words(GROUP), out[-GROUP:])
        return to_dtype(out, dtype)

    def _fill(self, words: U32, out: F32) -> None:
        """Turn u32[16 k] words into f32[16 k] normals; may overwrite the words."""
        fill_avx2(words, out)

    def _next_normal(self) -> float:
        """Draw one normal in double precision; normals come in pairs, and the second is held for the next call."""
        if self._spare is not None:
            held, self._spare = self._spare, None
            return held
        u1, u2 = uniform_doubles(self._engine.wide_words(2)).tolist()
        radius = math.sqrt(-2.0 * self._functions.log1p(-u2))
        theta = 2.0 * math.pi * u1
        self._spare = radius * self._functions.sin(theta)
        cosine: float = self._functions.cos(theta)
        return radius * cosine

    @overload
    def uniform(self, shape: Shape, dtype: Literal["float32", "bfloat16"] = ...) -> F32: ...
    @overload
    def uniform(self, shape: Shape, dtype: Literal["float64"]) -> F64: ...
    @overload
    def uniform(self, shape: Shape, dtype: Literal["float16"]) -> F16: ...
    @overload
    def uniform(self, shape: Shape, dtype: npt.DTypeLike) -> Float: ...
    def uniform(self, shape: Shape, dtype: npt.DTypeLike = "float32") -> Float:
        """Draw from [0, 1): ``torch.rand(shape, dtype=dtype, generator=g)``; dtypes are those of `normal`."""
        size, dims = size_and_shape(shape)
        name = dtype_name(dtype)
        if name == "float64":
            return uniform_doubles(self._engine.wide_words(size)).reshape(dims)
        uniforms = to_dtype((self._engine.words(size) & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24), name)
        if name != "float32":
            uniforms[uniforms == 1] = 0  # a value that rounds up to the excluded end becomes the other end
        return uniforms.reshape(dims)

    def integers(self, low: int, high: int, shape: Shape) -> I64:
        """Draw from [low, high): ``torch.randint(low, high, shape, generator=g)``.

        Parameters
        ----------
        low, high : int, -2**63 <= low < high < 2**63
            The remainder of a 32-bit word; for ranges of 2**28 and more, of a 64-bit word.

        Returns
        -------
        i64 of this shape

        Raises
        ------
        ConfigError : bounds outside that range
        """
        low, high = (_BOUND.check(name, bound) for name, bound in (("low", low), ("high", high)))
        if not low < high:
            raise ConfigError(f"integers need -2**63 <= low < high < 2**63, got low={low}, high={high}; choose bounds in that order")
        size, dims = size_and_shape(shape)
        span = high - low
        words = self._engine.wide_words(size) if span >= _WIDE_RANGE else self._engine.words(size).astype(np.uint64)
        # Sums wrap at 64 bits, which ranges wider than 2**63 rely on.
        return ((words % np.uint64(span)).view(np.int64) + np.int64(low)).reshape(dims)

    def permutation(self, n: int) -> I64:
        """Shuffle 0 ... n-1: ``torch.randperm(n, generator=g)``, i64[n]; takes about 0.3 s for a million."""
        size, _ = size_and_shape((n,))
        return permutation(self._engine, size)

    def advance(self, shape: Shape) -> None:
        """Leave the stream where a float32 ``normal(shape)`` would leave it; from 16 values on, words are only skipped."""
        size, _ = size_and_shape(shape)
        if size < GROUP:
            self.normal(size)
        else:
            self._engine.skip(size + GROUP * (size % GROUP != 0))

    def _cursor(self) -> State:
        return {"words": self._engine.state(), "spare": self._spare}

    def _resume(self, state: Mapping[str, Any]) -> None:
        seed, cursor = read_state(self.name, state, {"seed": Integer(*self.seed_range), "cursor": Anything()}).values()
        words, spare = read_state(self.name, cursor, {"words": Anything(), "spare": Nullable(Number())}).values()
        self._engine.restore(read_state(self.name, words, MT_WORDS))
        self.seed, self._spare = seed, spare

"""Matrix products with what belongs to them: bias and residual are added while the block lies in the cache."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.source import Mapped, Source, Weight, read
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import split

__all__ = ["Linear", "operand_rows", "parts", "row_and_column_blocks"]

_ROWS = 512  # rows a block: enough that packing the weights anew for each block costs little


@dataclass(frozen=True)
class Linear:
    """y = x @ weight + bias.

    Parameters
    ----------
    packed : float[in, out]
        Stored as diffusers stores it, [out, in], and seen transposed: BLAS takes either.
    bias : float[out] or None
    is_conv : bool
        Whether the model writes it as a convolution of one pixel, which tells the layout of what it gives there.
    """

    packed: Weight
    bias: Float | None
    is_conv: bool = False

    @classmethod
    def load(cls, source: Source, size_in: int, size_out: int, *, bias: bool = True, kernel: tuple[int, ...] = ()) -> Self:
        """Read ``weight`` and ``bias``; ``kernel`` (h, w) reads a convolution: its pixels are numbers of one row, channel first."""
        packed = source.packed(lambda source: source.take("weight", size_out, size_in, *kernel).reshape(size_out, -1).T)
        return cls(packed, source.take("bias", size_out) if bias else None, bool(kernel))

    @classmethod
    def joined(cls, products: list["Linear"]) -> Self:
        """Several products of one input as one, their outputs side by side; none has a bias, or all have."""
        biases = [part.bias for part in products if part.bias is not None]
        weights = [part.packed for part in products]
        bias = np.concatenate(biases) if biases else None
        mapped = next((weight for weight in weights if isinstance(weight, Mapped)), None)
        if mapped is not None:
            return cls(Mapped(mapped.source, lambda _: _side_by_side(weights)), bias)
        return cls(_side_by_side(weights), bias)

    def part(self, index: int, count: int) -> "Linear":
        """Return one of ``count`` joined products, on the same memory."""
        packed = self.packed
        bias = None if self.bias is None else parts(self.bias, count)[index]
        if isinstance(packed, Mapped):
            return Linear(Mapped(packed.source, lambda source: parts(packed.pack(source), count)[index]), bias)
        return Linear(parts(packed, count)[index], bias)

    def weight(self) -> Float:
        """float[in, out]; made now where it stays in its file, so ask once a call."""
        return read(self.packed)

    def __call__(self, team: ThreadTeam, x: Float, residual: Float | None = None) -> Float:
        """float[..., in] -> float[..., out], plus ``residual`` of the output's shape."""
        rows, weight = operand_rows(team, x), self.weight()
        out = np.empty((rows.shape[0], weight.shape[1]), x.dtype)
        more = None if residual is None else residual.reshape(out.shape)

        def block(where: tuple[slice, slice]) -> None:
            at, columns = where
            y = out[at, columns]
            team.arithmetic.multiply(rows[at], weight[:, columns], y, team.scratch)
            if self.bias is not None:
                y += self.bias[columns]
            if more is not None:
                y += more[at, columns]

        team.map_blocks(block, row_and_column_blocks(team.threads, *out.shape), 2.0 * out.size * rows.shape[1])
        return out.reshape(*x.shape[:-1], out.shape[1])


def operand_rows(team: ThreadTeam, x: Float) -> Float:
    """Prepare float[..., depth] for products: [rows, depth]."""
    return team.arithmetic.operand(x, team.scratch, team.map_blocks).reshape(-1, x.shape[-1])


def _side_by_side(weights: list[Weight]) -> Float:
    return np.concatenate([read(weight).T for weight in weights]).T


def parts(joined: Float, count: int) -> list[Float]:
    """Split the output of joined products: views of equal width along the last axis."""
    width = joined.shape[-1] // count
    return [joined[..., index * width : (index + 1) * width] for index in range(count)]


@lru_cache(maxsize=4096)
def row_and_column_blocks(threads: int, rows: int, columns: int) -> tuple[tuple[slice, slice], ...]:
    """Blocks of a product of this size: of some 512 rows, or, where that makes one block, of all rows and some columns.

    >>> row_and_column_blocks(2, 128, 64)
    ((slice(0, 128, None), slice(0, 32, None)), (slice(0, 128, None), slice(32, 64, None)))
    """
    if rows <= _ROWS:
        return tuple((slice(0, rows), run) for run in split(columns, threads))
    blocks = -(-rows // _ROWS)
    return tuple((run, slice(0, columns)) for run in split(rows, -(-blocks // threads) * threads))

"""The ziggurat method of numpy's `Generator` over PCG64, by functions of our own (Marsaglia and Tsang 2000, doi:10.18637/jss.v005.i08).

Source: ``random_standard_normal`` and ``random_standard_normal_f`` in numpy/random/src/distributions/distributions.c of numpy 2.4. Words
come from PCG64, whose integers are the same everywhere. A word chooses a layer and a place in it; 99 of 100 places lie below the curve for
sure. The others are compared with the curve, which is where the platform's exponential decides, and the lowest layer has a tail.

The widths of the layers and the places below which each lies under the curve are numpy's own tables, ``ziggurat.bin``: they decide which
words are taken, so another rounding of them would move every later number.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sdrt.arrays import Float
from sdrt.exact.functions import exp, log1p

__all__ = ["ziggurat_doubles", "ziggurat_floats"]

U64 = npt.NDArray[np.uint64]

_EDGE = 3.6541528853610088  # where the tail begins
_INVERSE_EDGE = 0.27366123732975828
_WIDE_BITS, _NARROW_BITS = 52, 23  # of a place in a layer
_LAYERS = 256
_BLOCK = 4096
_SPARE = 256  # words behind a block, for its last decision: a tail that takes more than two has a chance of one in eight


@dataclass(frozen=True, eq=False)
class _Kind:
    """What differs between numbers of 64 and of 32 bits."""

    real: type[Any]
    widths: Float  # of each layer, in units of a place
    limits: U64  # places below which the layer lies under the curve
    heights: Float  # of the curve at each edge
    split: Callable[[U64], tuple[U64, U64, U64]]  # layer, sign and place of a word
    uniform: Callable[[int], Any]  # in [0, 1), of a word


def _split_wide(words: U64) -> tuple[U64, U64, U64]:
    return words & np.uint64(0xFF), (words >> np.uint64(8)) & np.uint64(1), (words >> np.uint64(9)) & np.uint64(2**_WIDE_BITS - 1)


def _split_narrow(words: U64) -> tuple[U64, U64, U64]:
    return words & np.uint64(0xFF), (words >> np.uint64(8)) & np.uint64(1), (words >> np.uint64(9)) & np.uint64(2**_NARROW_BITS - 1)


def ziggurat_doubles(source: np.random.BitGenerator, size: int) -> Float:
    """Draw the next float64 normals, f64[size], and leave the source where a `Generator` would leave it."""
    before = source.state
    kind, _ = _tables()

    def words(count: int) -> U64:
        raw: U64 = source.random_raw(count)
        return raw

    values, used = _draw(kind, words, size)
    source.state = before
    source.random_raw(used, output=False)
    return values


def ziggurat_floats(source: np.random.BitGenerator, size: int) -> Float:
    """Draw the next float32 normals, f32[size]; two of their words are the halves of one of the source's, the lower first."""
    before: Any = source.state
    held = [before["uinteger"]] if before["has_uint32"] else []

    def words(count: int) -> U64:
        raw: U64 = source.random_raw(-(-count // 2))
        halves = np.stack([raw & np.uint64(0xFFFFFFFF), raw >> np.uint64(32)], axis=1).reshape(-1)
        first, held[:] = np.array(held, np.uint64), []
        return np.concatenate([first, halves])

    values, used = _draw(_tables()[1], words, size)
    _leave(source, before, used)
    return values


def _leave(source: np.random.BitGenerator, before: Any, used: int) -> None:
    """Move a source on by so many words of 32 bits."""
    source.state = before
    drawn = used - bool(before["has_uint32"])
    if not used:
        return
    source.random_raw(max(0, (drawn + 1) // 2 - 1), output=False)
    last = int(source.random_raw()) if drawn > 0 else 0
    state: Any = source.state
    half = drawn > 0 and drawn % 2 == 1
    state["has_uint32"], state["uinteger"] = int(half), last >> 32 if half else 0
    source.state = state


def _draw(kind: _Kind, words: Callable[[int], U64], size: int) -> tuple[Float, int]:
    """Return so many normals and the number of words that they took."""
    parts: list[Float] = []
    supply, used = np.zeros(0, np.uint64), 0
    while size:
        supply = np.concatenate([supply, words(max(0, min(size, _BLOCK) + _SPARE - len(supply)))])
        layer, sign, place = kind.split(supply)
        values = place.astype(kind.real) * kind.widths[layer]
        values = np.where(sign == 1, -values, values)
        at, end = 0, len(supply) - _SPARE
        for doubtful in np.flatnonzero(place >= kind.limits[layer]).tolist():
            if doubtful < at:  # a word that a decision has taken
                continue
            if doubtful >= min(end, at + size):
                break
            parts.append(values[at:doubtful])
            size -= doubtful - at
            rest = iter(supply[doubtful + 1 :].tolist())
            decided, took = _decide(kind, int(layer[doubtful]), int(place[doubtful]), values[doubtful], rest)
            parts.append(np.array(decided, kind.real))
            size -= len(decided)
            at = doubtful + 1 + took
        sure = max(0, min(end - at, size))
        parts.append(values[at : at + sure])
        size -= sure
        at += sure
        supply, used = supply[at:], used + at
    return np.concatenate([np.zeros(0, kind.real), *parts]), used


def _decide(kind: _Kind, layer: int, place: int, value: Any, words: Iterator[int]) -> tuple[list[Any], int]:
    """Return the normal of a place that may lie above the curve, or none where it does, and the number of words that the decision took."""
    real = kind.real
    if layer:
        height = (kind.heights[layer - 1] - kind.heights[layer]) * kind.uniform(next(words)) + kind.heights[layer]
        return [value] if float(height) < exp(-0.5 * float(value) * float(value)) else [], 1
    edge, inverse, took = real(_EDGE), real(_INVERSE_EDGE), 0
    while True:
        across, down = inverse * -log1p(-kind.uniform(next(words))), -log1p(-kind.uniform(next(words)))
        took += 2
        if down + down > across * across:
            return [-(edge + across) if (place >> 8) & 1 else edge + across], took


@cache
def _tables() -> tuple[_Kind, _Kind]:
    """Read the tables, and compute the heights of the curve at the layers' edges."""
    content = Path(__file__).with_name("ziggurat.bin").read_bytes()
    wide, limits, narrow, narrow_limits = (
        np.frombuffer(content, dtype, _LAYERS, start) for dtype, start in (("<f8", 0), ("<u8", 2048), ("<f4", 4096), ("<u4", 5120))
    )
    edges = np.append(0.0, wide[1:] * 2.0**_WIDE_BITS)
    heights = exp(-0.5 * edges * edges)
    return (
        _Kind(np.float64, wide.astype(np.float64), limits.astype(np.uint64), heights, _split_wide, _wide_uniform),
        _Kind(
            np.float32,
            narrow.astype(np.float32),
            narrow_limits.astype(np.uint64),
            heights.astype(np.float32),
            _split_narrow,
            _narrow_uniform,
        ),
    )


def _wide_uniform(word: int) -> Any:
    return np.float64((word >> 11) * 2.0**-53)


def _narrow_uniform(word: int) -> Any:
    return np.float32((word >> 8) * 2.0**-24)

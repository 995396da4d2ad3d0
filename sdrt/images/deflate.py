"""DEFLATE (RFC 1951) in a zlib stream (RFC 1950), whose bytes depend on the data alone.

Builds of zlib choose other matches at the same level (zlib-ng, Intel's, cloudflare's), so a file of theirs is not the same everywhere.
Here each block has Huffman codes of its own, and the only matches are runs: a byte that repeats is written once, and then copied from one
place back. Pictures whose rows were filtered are mostly small numbers and runs of zeros, which this suits.
"""

import zlib

import numpy as np
import numpy.typing as npt

from sdrt.arrays import U8, Array
from sdrt.images.huffman import canonical_codes, code_lengths

__all__ = ["deflate"]

I64 = npt.NDArray[np.int64]

_BLOCK = 1 << 18  # bytes that share their codes
_SHORTEST, _LONGEST = 3, 258  # of a match
_END = 256
_LONGEST_CODE, _LONGEST_LENGTH_CODE = 15, 7
# The order in which lengths of the codes of code lengths are written.
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
# Section 3.2.5: the shortest match of each symbol from 257 on, and its extra bits.
_BASES = (3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258)
_EXTRA_BITS = (0,) * 8 + tuple(bits for bits in range(1, 6) for _ in range(4)) + (0,)
_SYMBOLS = 257 + len(_BASES)


def deflate(data: U8) -> bytes:
    """Compress bytes, u8[n], to a zlib stream.

    >>> zlib.decompress(deflate(np.array([97, 97, 97, 97, 97, 98], np.uint8)))
    b'aaaaab'
    """
    bits = _Bits()
    starts = range(0, max(len(data), 1), _BLOCK)
    for start in starts:
        _write_block(bits, data[start : start + _BLOCK], last=start == starts[-1])
    # the header of a window of 32 KiB; level and checksum say nothing about the content
    return b"\x78\x01" + bits.content() + zlib.adler32(data.tobytes()).to_bytes(4, "big")


class _Bits:
    """A stream of bits, the lowest of each number first."""

    def __init__(self) -> None:
        self._whole: list[bytes] = []
        self._rest: U8 = np.zeros(0, np.uint8)

    def write(self, values: I64, lengths: I64) -> None:
        """Append the low bits of each value."""
        ends = np.cumsum(lengths)
        places = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - lengths, lengths)
        bits = ((np.repeat(values, lengths) >> places) & 1).astype(np.uint8)
        joined = np.concatenate([self._rest, bits])
        whole = len(joined) - len(joined) % 8
        self._whole.append(np.packbits(joined[:whole], bitorder="little").tobytes())
        self._rest = joined[whole:]

    def content(self) -> bytes:
        """Return the bytes, the last filled up with zeros."""
        return b"".join(self._whole) + np.packbits(self._rest, bitorder="little").tobytes()


def _write_block(bits: _Bits, data: U8, *, last: bool) -> None:
    symbols, extra = _tokens(data)
    counts = np.bincount(symbols, minlength=_SYMBOLS)
    lengths = code_lengths(counts.tolist(), _LONGEST_CODE)
    codes = np.array(canonical_codes(lengths), np.int64)
    sizes = np.array(lengths, np.int64)
    _write_header(bits, lengths, last=last)
    is_match = symbols > _END
    extra_bits = np.zeros(_SYMBOLS, np.int64)
    extra_bits[257:] = _EXTRA_BITS
    own = sizes[symbols]
    # the distance is always 1, which one code of one bit, 0, stands for
    bits.write(codes[symbols] | (extra << own), own + extra_bits[symbols] + is_match)


def _tokens(data: U8) -> tuple[I64, I64]:
    """Return the symbols of a block with its end, and the extra bits of each."""
    edges = np.flatnonzero(data[1:] != data[:-1]) + 1
    starts = np.concatenate([[0], edges]) if len(data) else np.zeros(0, np.int64)
    runs = np.diff(np.append(starts, len(data)))
    byte = data[starts].astype(np.int64) if len(data) else np.zeros(0, np.int64)
    repeated = np.where(runs > _SHORTEST, runs - 1, 0)
    whole, rest = repeated // _LONGEST, repeated % _LONGEST
    symbol_of, extra_of = _match_symbols()
    as_match = rest >= _SHORTEST
    match = np.where(as_match, rest, _SHORTEST)
    symbols = np.stack([byte, np.full_like(byte, symbol_of[_LONGEST]), symbol_of[match], byte], axis=1)
    extra = np.stack([np.zeros_like(byte), np.zeros_like(byte), extra_of[match], np.zeros_like(byte)], axis=1)
    first = np.where(repeated > 0, 1, runs)
    counts = np.stack([first, whole, as_match.astype(np.int64), np.where(as_match, 0, rest)], axis=1).reshape(-1)
    every: Array = np.append(np.repeat(symbols.reshape(-1), counts), _END)
    return every, np.append(np.repeat(extra.reshape(-1), counts), 0)


def _match_symbols() -> tuple[I64, I64]:
    """Return the symbol and the extra bits' value of each match length from 0 to 258."""
    length = np.arange(_LONGEST + 1)
    index = np.searchsorted(_BASES, length, side="right") - 1
    return 257 + np.maximum(index, 0), length - np.array(_BASES)[np.maximum(index, 0)]


def _write_header(bits: _Bits, lengths: list[int], *, last: bool) -> None:
    """Write the head of a block with its own codes (section 3.2.7); lengths of codes are written one by one, without repeats."""
    written = [*lengths, 1]
    own = code_lengths([written.count(length) for length in range(19)], _LONGEST_LENGTH_CODE)
    codes = canonical_codes(own)
    fields: list[tuple[int, int]] = [(int(last), 1), (2, 2), (len(lengths) - 257, 5), (0, 5), (len(_ORDER) - 4, 4)]
    fields += [(own[symbol], 3) for symbol in _ORDER]
    fields += [(codes[length], own[length]) for length in written]
    values, sizes = zip(*fields, strict=True)
    bits.write(np.array(values, np.int64), np.array(sizes, np.int64))

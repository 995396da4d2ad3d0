"""Canonical Huffman codes of limited length, as DEFLATE has them (RFC 1951, section 3.2.2)."""

from collections.abc import Sequence

__all__ = ["canonical_codes", "code_lengths"]


def code_lengths(counts: Sequence[int], longest: int) -> list[int]:
    """Return the best code length of each symbol, at most ``longest``; 0 for symbols that do not occur.

    By the package-merge algorithm (Larmore and Hirschberg 1990, doi:10.1145/79147.79150). Of equal counts the lower symbol goes first, so
    the lengths depend on the counts alone. A single symbol has length 1.

    >>> code_lengths([5, 1, 0, 1, 2], 3)
    [1, 3, 0, 3, 2]
    """
    lengths = [0] * len(counts)
    coins: list[tuple[int, tuple[int, ...]]] = sorted((count, (symbol,)) for symbol, count in enumerate(counts) if count)
    if len(coins) == 1:
        lengths[coins[0][1][0]] = 1
    if len(coins) < 2:
        return lengths
    row = coins
    for _ in range(longest - 1):
        packages = [(row[k][0] + row[k + 1][0], row[k][1] + row[k + 1][1]) for k in range(0, len(row) - 1, 2)]
        row = sorted(coins + packages, key=lambda package: package[0])
    for _, symbols in row[: 2 * len(coins) - 2]:
        for symbol in symbols:
            lengths[symbol] += 1
    return lengths


def canonical_codes(lengths: Sequence[int]) -> list[int]:
    """Return the code of each symbol, its bits in the order in which they are written, the first the lowest.

    >>> [f"{code:03b}" for code in canonical_codes([1, 3, 0, 3, 2])]
    ['000', '011', '000', '111', '001']
    """
    code, codes = 0, [0] * len(lengths)
    for length in range(1, max(lengths, default=0) + 1):
        for symbol, own in enumerate(lengths):
            if own == length:
                codes[symbol] = int(f"{code:0{length}b}"[::-1], 2)
                code += 1
        code <<= 1
    return codes

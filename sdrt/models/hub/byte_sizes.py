"""Sizes of files in words, with the decimal units that the Hub shows."""

__all__ = ["in_words"]

_UNITS = ("kB", "MB", "GB", "TB")


def in_words(size: float) -> str:
    """Return a number of bytes in words.

    >>> in_words(17), in_words(2_581_300_000), in_words(999_960)
    ('17 bytes', '2.6 GB', '1.0 MB')
    """
    if size < 1000:
        return f"{size:.0f} byte{'' if size == 1 else 's'}"
    # what rounds to a thousand is one of the next unit
    power = next((power for power in range(1, len(_UNITS)) if size < 999.95 * 1000**power), len(_UNITS))
    return f"{size / 1000**power:.1f} {_UNITS[power - 1]}"

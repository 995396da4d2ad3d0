"""How work is cut into blocks; the same few shapes come again and again, so what was cut is kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

__all__ = ["Tile", "split", "tiles"]


@dataclass(frozen=True, slots=True)
class Tile:
    """Some rows of some pictures: whole pictures, or rows of one."""

    images: slice
    rows: slice


@lru_cache(maxsize=4096)
def split(total: int, parts: int) -> tuple[slice, ...]:
    """``total`` things in ``parts`` runs of nearly one length.

    >>> split(7, 3)
    (slice(0, 3, None), slice(3, 5, None), slice(5, 7, None))
    """
    parts = max(1, min(parts, total))
    size, larger = divmod(total, parts)
    starts = [part * size + min(part, larger) for part in range(parts + 1)]
    return tuple(slice(start, stop) for start, stop in pairwise(starts))


@lru_cache(maxsize=4096)
def tiles(images: int, height: int, width: int, pixels: int) -> tuple[Tile, ...]:
    """Cut a batch of pictures into blocks of about ``pixels`` pixels, never less than a row.

    >>> len(tiles(2, 64, 64, 512)), tiles(3, 2, 2, 8)
    (16, (Tile(images=slice(0, 2, None), rows=slice(0, 2, None)), Tile(images=slice(2, 3, None), rows=slice(0, 2, None))))
    """
    return tuple(_tiles(images, height, width, pixels))


def _tiles(images: int, height: int, width: int, pixels: int) -> Iterator[Tile]:
    if height * width > pixels:
        for rows in split(height, -(-height * width // pixels)):
            yield from (Tile(slice(image, image + 1), rows) for image in range(images))
    else:
        together = max(1, pixels // max(1, height * width))
        yield from (Tile(run, slice(0, height)) for run in split(images, -(-images // together)))

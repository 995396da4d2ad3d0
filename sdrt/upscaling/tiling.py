"""Run a network of pictures tile by tile: memory grows with a tile, and no border shows where two of them meet.

Tiles overlap. Across an overlap the weight of one falls from 1 to 0 while that of the other rises, in a straight line; the outermost pixels
of a tile, whose surroundings it did not see, have no weight. Where the overlap is more than twice the network's radius, the tiles give what
the whole picture gives, up to rounding; otherwise, a quarter of the overlap at each end is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import U8, Float

__all__ = ["Layout", "enlarge_tiles", "layout"]


@dataclass(frozen=True)
class Layout:
    """How a side of a picture is cut.

    Parameters
    ----------
    runs : tuple of slice
        The pixels of each tile, in order; each overlaps its neighbours alone.
    trim : int
        Pixels at an inner end of a tile that have no weight.
    """

    runs: tuple[slice, ...]
    trim: int

    def weights(self, index: int, scale: int) -> Float:
        """Return the weights of a tile's results along this side, float64[pixels]; those of all tiles sum to 1 at each pixel."""
        run = self.runs[index]
        weights = np.ones(scale * (run.stop - run.start))
        if index:
            rise = _rise(scale * (self.runs[index - 1].stop - run.start), scale * self.trim)
            weights[: len(rise)] = rise
        if index + 1 < len(self.runs):
            rise = _rise(scale * (run.stop - self.runs[index + 1].start), scale * self.trim)
            weights[len(weights) - len(rise) :] = 1 - rise
        return weights


def _rise(overlap: int, trim: int) -> Float:
    """Return the weights of the later of two tiles across their overlap."""
    return np.clip((np.arange(overlap) + 0.5 - trim) / max(1, overlap - 2 * trim), 0, 1)


def layout(side: int, tile: int, overlap: int, multiple: int, radius: int) -> Layout:
    """Cut a side into tiles of nearly one size.

    Parameters
    ----------
    side : int
        Pixels of the picture.
    tile : int
        The most pixels of a tile.
    overlap : int, at most a third of ``tile``
        The fewest pixels that two tiles share.
    multiple : int
        Tiles begin at multiples of it: a network that unshuffles pixels sees the same squares in a tile and in the picture.
    radius : int
        How far the network sees.

    >>> layout(100, 48, 8, 1, 100).runs
    (slice(0, 39, None), slice(30, 69, None), slice(61, 100, None))
    """
    units, most = -(-side // multiple), max(1, tile // multiple)
    shared = -(-overlap // multiple)
    if units <= most:
        return Layout((slice(0, side),), 0)
    count = -(-(units - shared) // max(1, most - shared))
    size = -(-(units + (count - 1) * shared) // count)
    starts = [index * (units - size) // (count - 1) for index in range(count)]
    trim = radius if 2 * radius < overlap else overlap // 4
    return Layout(tuple(slice(start * multiple, min(side, (start + size) * multiple)) for start in starts), trim)


def enlarge_tiles(
    network: Callable[[Float], Float], image: Float, scale: int, rows: Layout, columns: Layout, report: Callable[[], None]
) -> U8:
    """Run a network on each tile of a picture, and blend the results.

    Parameters
    ----------
    network : callable
        float[1, 3, h, w] -> float[1, 3, scale h, scale w].
    image : float[1, 3, H, W]
    scale : int
    rows, columns : Layout
        Of the two sides.
    report : callable
        Called before each tile.

    Returns
    -------
    u8[scale H, scale W, 3]
    """
    height, width = (scale * side for side in image.shape[2:])
    canvas = np.empty((height, width, 3), np.uint8)
    below: Float | None = None
    for index, run in enumerate(rows.runs):
        band = np.zeros((3, scale * (run.stop - run.start), width), image.dtype)
        for place, column in enumerate(columns.runs):
            report()
            tile = network(np.ascontiguousarray(image[:, :, run, column]))[0]
            tile *= columns.weights(place, scale).astype(tile.dtype)
            band[:, :, scale * column.start : scale * column.stop] += tile
        band *= rows.weights(index, scale).astype(band.dtype)[:, None]
        if below is not None:
            band[:, : below.shape[1]] += below
        end = rows.runs[index + 1].start if index + 1 < len(rows.runs) else run.stop
        whole = scale * (end - run.start)
        canvas[scale * run.start : scale * end] = _bytes(band[:, :whole])
        below = band[:, whole:].copy()
    return canvas


def _bytes(colours: Float) -> U8:
    """Round float[3, h, w] in [0, 1] to u8[h, w, 3], half to even; values outside are clipped."""
    return np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)

"""Left operands of exact products, rounded once for all of their blocks."""

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.arithmetic import MapBlocks
from sdrt.backends.numpy.scratch import Scratch
from sdrt.backends.numpy.tiles import split
from sdrt.exact.product import round_below

__all__ = ["operand", "picture"]

# At this depth and above, rows are rounded one by one, in the product: then a row of large numbers costs the others no digits, as the first
# token of a text would. Below, finding the largest of each row takes longer than the product.
_DEEP = 256
_NUMBERS = 2**16  # numbers a block
_FLOPS = 20.0  # what a number costs in a pass, in products' time


def operand(x: Float, scratch: Scratch, map_blocks: MapBlocks) -> Float:
    """Round float32[n, ..., depth], each of the n by its own largest value, to float64; deep rows come back as they are."""
    return x if x.shape[-1] >= _DEEP else picture(x, scratch, map_blocks)


def picture(x: Float, scratch: Scratch, map_blocks: MapBlocks) -> Float:
    """Round each of n pictures, float32[n, ...], by its own largest value, to float64 in scratch memory."""
    flat = x.reshape(len(x), x.size // max(1, len(x)))
    rounded = scratch.take("operand", flat.shape, np.dtype(np.float64))
    pieces = split(flat.shape[1], -(-flat.shape[1] // _NUMBERS))
    blocks = [(image, index) for image in range(len(x)) for index in range(len(pieces))]
    largest = np.empty((len(x), len(pieces)), x.dtype)

    def find(at: tuple[int, int]) -> None:
        image, index = at
        piece = flat[image, pieces[index]]
        largest[at] = max(np.maximum.reduce(piece), -np.minimum.reduce(piece))

    def round_piece(at: tuple[int, int]) -> None:
        image, index = at
        round_below(limits[image], flat[image, pieces[index]], rounded[image, pieces[index]])

    map_blocks(find, blocks, _FLOPS * x.size)
    limits = [float(np.maximum.reduce(each)) for each in largest]
    map_blocks(round_piece, blocks, _FLOPS * x.size)
    return rounded.reshape(x.shape)

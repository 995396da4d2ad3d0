"""Decode latents tile by tile, so that memory does not grow with the size of the picture."""

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.pool import CheckedNetwork

__all__ = ["takes_tiles", "tiled_decode"]

_OVERLAP = 0.25  # fraction of a tile's side that it shares with the next tile


def takes_tiles(decoder: CheckedNetwork) -> bool:
    """Return whether a decoder takes pictures of any size; a Core ML package may take a few, and tiles have others at the edges."""
    [z] = decoder.signature.inputs
    return all(size is None for size in z.shape[2:]) and not decoder.signature.joint_sizes


def tiled_decode(decoder: CheckedNetwork, z: Float, tile: int, scale: int) -> Float:
    """Decode overlapping tiles, and blend each into the one above and the one to its left.

    Parameters
    ----------
    decoder : CheckedNetwork
        The component ``vae_decoder``.
    z : float[n,C,h,w]
        Latents no larger than a tile are decoded in one call.
    tile : int (pixels)
        Side of a tile.
    scale : int
        Pixels per latent, along each side.

    Returns
    -------
    float[n,3,H,W]; pixels near a seam blend two tiles, neither of which sees the surroundings of the other

    Source: diffusers 0.42.1 ``AutoencoderKL.tiled_decode``.
    """
    size = tile // scale
    if z.shape[2] <= size and z.shape[3] <= size:
        return decoder(z=z)["image"]
    stride, blend = int(size * (1 - _OVERLAP)), int(tile * _OVERLAP)
    kept = tile - blend
    above: list[Float] = []
    bands = []
    for top in range(0, z.shape[2], stride):
        row = [decoder(z=z[:, :, top : top + size, left : left + size])["image"] for left in range(0, z.shape[3], stride)]
        for index, current in enumerate(row):
            if above:
                _blend(above[index].swapaxes(2, 3), current.swapaxes(2, 3), blend)
            if index:
                _blend(row[index - 1], current, blend)
        bands.append(np.concatenate([current[:, :, :kept, :kept] for current in row], axis=3))
        above = row
    picture: Float = np.concatenate(bands, axis=2)
    return picture


def _blend(left: Float, right: Float, extent: int) -> None:
    """Fade from the end of the left tile into the beginning of the right one, in place: float[n,3,H,W] each."""
    extent = min(left.shape[3], right.shape[3], extent)
    weight = (np.arange(extent) / extent).astype(right.dtype)
    right[..., :extent] = left[..., left.shape[3] - extent :] * (1 - weight) + right[..., :extent] * weight

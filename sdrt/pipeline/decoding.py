"""Decode latents with an autoencoder's decoder, one picture at a time."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import Float, TensorSpec, check_array
from sdrt.backends.pool import NetworkPool
from sdrt.images.png import to_pil
from sdrt.models.families import LatentFormat
from sdrt.pipeline.vae_tiling import takes_tiles, tiled_decode

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Decoder"]


@dataclass(frozen=True, eq=False)
class Decoder:
    """The decoder of an autoencoder.

    Parameters
    ----------
    networks : NetworkPool
        With the component ``vae_decoder``.
    latent_format : LatentFormat
    """

    networks: NetworkPool
    latent_format: LatentFormat

    def __call__(self, latents: Float, *, tiled: bool) -> "Generator[Image, None, None]":
        """Decode latents float[n,C,h,w] one at a time, so that a batch needs no more memory than one image."""
        latent_format = self.latent_format
        with self.networks.using("vae_decoder") as decoder:
            for k in range(len(latents)):
                z = latent_format.to_autoencoder(latents[k : k + 1]).astype(decoder.float_dtype(), copy=False)
                tiles = tiled and takes_tiles(decoder)
                image = tiled_decode(decoder, z, latent_format.tile, latent_format.pixels) if tiles else decoder(z=z)["image"]
                check_array("vae_decoder output", TensorSpec("image", image.dtype.name, self._picture_shape(z)), image)
                yield from to_pil(np.asarray(image))

    def _picture_shape(self, z: Float) -> tuple[int, ...]:
        """Return the shape of the picture of latents [n,C,h,w]; a signature cannot say that one size is a multiple of the other."""
        height, width = (side * self.latent_format.pixels for side in z.shape[2:])
        return len(z), 3, height, width

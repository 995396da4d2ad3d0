"""The format of latents: channels, scaling for the denoiser, and pixels per latent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sdrt.arrays import Float

__all__ = ["LatentFormat"]


@dataclass(frozen=True, kw_only=True)
class LatentFormat:
    """The latents of an autoencoder.

    Parameters
    ----------
    channels : int
    scaling_factor, shift_factor : float
        The denoiser's latents are ``(z - shift_factor) * scaling_factor`` of the autoencoder's z.
    pixels : int
        Pixels per latent, along each side.
    tile : int
        Side, in pixels, of the pictures that the autoencoder was trained on.
    """

    channels: int
    scaling_factor: float
    shift_factor: float
    pixels: int
    tile: int

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """Read an autoencoder's configuration."""
        return cls(
            channels=config["latent_channels"],
            scaling_factor=config["scaling_factor"],
            shift_factor=config["shift_factor"] or 0.0,
            # each level but the last one halves the picture
            pixels=2 ** (len(config["block_out_channels"]) - 1),
            tile=config["sample_size"],
        )

    def to_autoencoder(self, latents: Float) -> Float:
        """Rescale a denoiser's latents for the autoencoder."""
        return latents / self.scaling_factor + self.shift_factor

    def to_denoiser(self, z: Float) -> Float:
        """Rescale an autoencoder's latents for the denoiser."""
        return (z - self.shift_factor) * self.scaling_factor

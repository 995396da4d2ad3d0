"""The format of latents: channels, scaling for the denoiser, and pixels per latent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sdrt.arrays import Float
from sdrt.models.components.autoencoder_tiny import is_tiny, pixels_per_latent

__all__ = ["LatentFormat"]

# The configuration of a quick autoencoder does not say. Source: ``AutoencoderTiny.tile_sample_min_size`` of diffusers 0.42.1.
_QUICK_TILE = 512


@dataclass(frozen=True, kw_only=True)
class LatentFormat:
    """The latents of an autoencoder.

    Parameters
    ----------
    channels : int
    scaling_factor, shift_factor : float
        The denoiser's latents are ``(z - shift_factor) * scaling_factor`` of the autoencoder's z.
    means, deviations : tuple of float
        Of each channel of z in place of the shift, ``(z - mean) * scaling_factor / deviation``; empty for most autoencoders.
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
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """Read an autoencoder's configuration."""
        if is_tiny(config):
            return cls(
                channels=config["latent_channels"],
                scaling_factor=config["scaling_factor"],
                shift_factor=config["shift_factor"] or 0.0,
                pixels=pixels_per_latent(config),
                tile=_QUICK_TILE,
            )
        return cls(
            channels=config["latent_channels"],
            scaling_factor=config["scaling_factor"],
            shift_factor=config["shift_factor"] or 0.0,
            # each level but the last one halves the picture
            pixels=2 ** (len(config["block_out_channels"]) - 1),
            tile=min(size) if isinstance(size := config["sample_size"], list) else size,
            means=tuple(config["latents_mean"] or ()),
            deviations=tuple(config["latents_std"] or ()),
        )

    def to_autoencoder(self, latents: Float) -> Float:
        """Rescale a denoiser's latents for the autoencoder."""
        if self.means:
            mean, deviation = self._statistics(latents)
            return latents * deviation / self.scaling_factor + mean
        return latents / self.scaling_factor + self.shift_factor

    def to_denoiser(self, z: Float) -> Float:
        """Rescale an autoencoder's latents for the denoiser."""
        if self.means:
            mean, deviation = self._statistics(z)
            return (z - mean) * self.scaling_factor / deviation
        return (z - self.shift_factor) * self.scaling_factor

    def _statistics(self, latents: Float) -> tuple[Float, Float]:
        mean, deviation = (np.array(numbers, latents.dtype).reshape(-1, 1, 1) for numbers in (self.means, self.deviations))
        return mean, deviation

"""The base of families with diffusers' ``UNet2DConditionModel``."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.models.base import Model
from sdrt.models.components import ComponentName
from sdrt.models.families.base import EncodedText, TextEncoder
from sdrt.models.families.latent_format import LatentFormat
from sdrt.models.families.latent_space import LatentSpace
from sdrt.models.families.micro_conditions import MicroConditions

__all__ = ["UNetFamily"]

# That of diffusers' default model, for a configuration without a size.
_SAMPLE_SIZE = 64

# Of the first level of each U-Net that was trained on the published latents or distilled from one, refiners last; and of those latents.
_PUBLISHED_WIDTHS, _PUBLISHED_CHANNELS = (320, 384), 4


@dataclass(frozen=True)
class UNetFamily(ABC):
    """A family whose text encoders' states are concatenated along the features.

    Parameters
    ----------
    name : str
    text_encoders : tuple of TextEncoder
    takes_sizes : bool
    latents : LatentSpace or None
        Those of the published models.
    """

    name: str
    text_encoders: tuple[TextEncoder, ...]
    takes_sizes: bool = False
    latents: LatentSpace | None = None

    @property
    def denoiser(self) -> ComponentName:
        """The U-Net."""
        return "unet"

    @abstractmethod
    def recognises(self, model: Model) -> bool:
        """Return whether a model is of this family."""

    def conditions(
        self,
        config: Mapping[str, Any],  # noqa: ARG002 for those that add to these conditions
        texts: Sequence[EncodedText],
        micro: MicroConditions,  # noqa: ARG002
        rows: Sequence[str],
        zeroed: Collection[str] = (),
    ) -> dict[str, Float]:
        """Concatenate the states of all text encoders."""
        return {"encoder_hidden_states": zero_rows(np.concatenate([text.states for text in texts], axis=2), rows, zeroed)}

    def inpaints(self, config: Mapping[str, Any], latents: LatentFormat) -> bool:
        """Return whether a U-Net takes the mask and the masked picture's latents besides the sample.

        Raises
        ------
        ConfigError : it takes another number of channels
        """
        channels, plain = config["in_channels"], latents.channels
        if channels not in (plain, 2 * plain + 1):
            raise ConfigError(
                f"the unet must take as many channels as the vae has, {plain}, or for in-painting those of mask and masked picture too, "
                f"{2 * plain + 1}, got {channels}; take both from one model"
            )
        return bool(channels != plain)

    def guidance_size(self, config: Mapping[str, Any]) -> int | None:
        """Return the length of a latent consistency model's guidance embedding; None for a U-Net that is guided by rows."""
        size = config["time_cond_proj_dim"]
        return None if size is None else int(size)

    def native_size(self, config: Mapping[str, Any], latents: LatentFormat) -> tuple[int, int]:
        """Return the height and width in pixels that a U-Net was trained on."""
        size = _SAMPLE_SIZE if config["sample_size"] is None else config["sample_size"]
        rows, columns = size if isinstance(size, list) else (size, size)
        return rows * latents.pixels, columns * latents.pixels

    def latent_space(self, config: Mapping[str, Any]) -> LatentSpace | None:
        """Return the latents of the published models for a U-Net that is as wide as theirs, and predicts as many channels."""
        published = config["block_out_channels"][0] in _PUBLISHED_WIDTHS and config["out_channels"] == _PUBLISHED_CHANNELS
        return self.latents if published else None


def zero_rows(values: Float, rows: Sequence[str], zeroed: Collection[str]) -> Float:
    """Return the values with the zeroed rows set to 0; the array itself if there are none."""
    if not (places := [place for place, row in enumerate(rows) if row in zeroed]):
        return values
    values = values.copy()
    values[places] = 0
    return values

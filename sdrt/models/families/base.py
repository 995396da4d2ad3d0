"""The protocol of model families: how texts, sizes and guidance reach the denoiser, and the sizes of latents and pictures.

A family is a description, in data and functions over arrays; the pipeline runs the networks. A new family is a new file, and a line in the
table of `sdrt.models.families`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sdrt.arrays import Float
from sdrt.models.base import Model
from sdrt.models.components import ComponentName
from sdrt.models.families.latent_format import LatentFormat
from sdrt.models.families.latent_space import LatentSpace
from sdrt.models.families.micro_conditions import MicroConditions

__all__ = ["EncodedText", "Family", "TextEncoder"]


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder of a family.

    Parameters
    ----------
    component : ComponentName
    states : "last_hidden_state" or "penultimate_hidden_state"
        The output that the denoiser attends to: the states of the last layer after the final norm, or those before the last layer.
    """

    component: ComponentName
    states: Literal["last_hidden_state", "penultimate_hidden_state"]


@dataclass(frozen=True, eq=False)
class EncodedText:
    """The outputs of one text encoder, with a row for each row of the guidance.

    Parameters
    ----------
    states : float[r,L,D]
    pooled : float[r,P]
    """

    states: Float
    pooled: Float


class Family(Protocol):
    """A family of models: those with the same kinds of conditions."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    @property
    def denoiser(self) -> ComponentName:
        """The component that predicts the noise."""

    @property
    def text_encoders(self) -> tuple[TextEncoder, ...]:
        """The text encoders, in the order in which `conditions` takes their outputs."""

    @property
    def takes_sizes(self) -> bool:
        """Whether the denoiser takes `MicroConditions`."""

    def recognises(self, model: Model) -> bool:
        """Return whether a model is of this family."""

    def conditions(
        self,
        config: Mapping[str, Any],
        texts: Sequence[EncodedText],
        micro: MicroConditions,
        rows: Sequence[str],
        zeroed: Collection[str] = (),
    ) -> dict[str, Float]:
        """Return the inputs of the denoiser that stay fixed during a run.

        Parameters
        ----------
        config : mapping
            The denoiser's configuration.
        texts : sequence of EncodedText
            One for each of `text_encoders`.
        micro : MicroConditions
        rows : sequence of "negative" or "prompt"
            The rows of the guidance.
        zeroed : collection of rows
            The rows whose text becomes zeros.

        Returns
        -------
        mapping from name to float[r,...]

        Raises
        ------
        ConfigError : the texts do not fit the denoiser
        """

    def inpaints(self, config: Mapping[str, Any], latents: LatentFormat) -> bool:
        """Return whether a denoiser takes a mask and a masked picture besides the sample.

        Raises
        ------
        ConfigError : its number of channels fits neither case
        """

    def guidance_size(self, config: Mapping[str, Any]) -> int | None:
        """Return the length of the guidance embedding; None for a denoiser that is guided by rows."""

    def native_size(self, config: Mapping[str, Any], latents: LatentFormat) -> tuple[int, int]:
        """Return the height and width in pixels that a denoiser was trained on."""

    def latent_space(self, config: Mapping[str, Any]) -> LatentSpace | None:
        """Return what is known of the latents of published denoisers; None for a denoiser that is none of them."""

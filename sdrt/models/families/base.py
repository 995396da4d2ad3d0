"""What a family of models is: how texts, sizes and guidance reach its denoiser, and what its latents and pictures measure.

A family describes, by data and by functions over arrays; the pipeline runs the networks and asks it. Another family is another file, and a
line in the table of `sdrt.models.families`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sdrt.arrays import Float
from sdrt.models.base import Model
from sdrt.models.components import ComponentName
from sdrt.models.families.latent_format import LatentFormat
from sdrt.models.families.micro_conditions import MicroConditions

__all__ = ["EncodedText", "Family", "TextEncoder"]


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder of a family.

    Parameters
    ----------
    component : ComponentName
    states : "last_hidden_state" or "penultimate_hidden_state"
        Which of its outputs the denoiser attends to: those of the last layer after the final norm, or those before the last layer.
    """

    component: ComponentName
    states: Literal["last_hidden_state", "penultimate_hidden_state"]


@dataclass(frozen=True, eq=False)
class EncodedText:
    """What one text encoder gives, a row for each of the guidance.

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
        """What it is called in messages."""

    @property
    def denoiser(self) -> ComponentName:
        """The component that takes the noise away."""

    @property
    def text_encoders(self) -> tuple[TextEncoder, ...]:
        """In the order in which `conditions` takes what they give."""

    @property
    def takes_sizes(self) -> bool:
        """Whether the denoiser is told `MicroConditions`."""

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
        """Make the inputs of the denoiser that do not change in a run.

        Parameters
        ----------
        config : mapping
            The denoiser's.
        texts : sequence of EncodedText
            One for each of `text_encoders`.
        micro : MicroConditions
        rows : sequence of "negative" or "prompt"
            Of the guidance.
        zeroed : collection of rows
            Whose text becomes zeros.

        Returns
        -------
        mapping from name to float[r,...]

        Raises
        ------
        ConfigError : the texts do not fit the denoiser
        """

    def inpaints(self, config: Mapping[str, Any], latents: LatentFormat) -> bool:
        """Return whether a denoiser sees a mask and a masked picture beside the sample.

        Raises
        ------
        ConfigError : it takes another number of channels
        """

    def guidance_size(self, config: Mapping[str, Any]) -> int | None:
        """Return how many numbers tell a denoiser the guidance scale; None for one that is guided by rows."""

    def native_size(self, config: Mapping[str, Any], latents: LatentFormat) -> tuple[int, int]:
        """Return height and width in pixels that a denoiser was trained for."""

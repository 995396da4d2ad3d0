"""Perturbed-attention guidance: away from what the denoiser predicts under the prompt where its self-attention sees no structure.

Source: Ahn et al. 2024 (arXiv:2403.17377), equation 16, added to another guidance as diffusers 0.42.1 ``PAGMixin`` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sdrt.arrays import Array, Float
from sdrt.guidance.base import Call, Guidance, Guided, split_rows
from sdrt.guidance.rows import PERTURBED, PROMPT, Row
from sdrt.values import Number

__all__ = ["PERTURBED_SCALE", "PerturbedGuidance"]

PERTURBED_SCALE = Number(minimum=0, maximum=1e9)
_FIRST_TIMESTEP = 1000.0  # of the training schedule, as diffusers has it whatever the model's is


@dataclass(frozen=True)
class PerturbedGuidance:
    """Add scale * (prompt - perturbed) to what another guidance gives.

    Parameters
    ----------
    guidance : Guidance
        One with a row ``prompt``.
    scale : float, at least 0
    adaptive_scale : float, at least 0
        How much the scale falls for each timestep that is done, down to 0.
    """

    guidance: Guidance
    scale: float
    adaptive_scale: float = 0.0

    def __post_init__(self) -> None:
        for name, option in (("scale", "pag_scale"), ("adaptive_scale", "pag_adaptive_scale")):
            object.__setattr__(self, name, PERTURBED_SCALE.check(option, getattr(self, name)))

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those of the other guidance, and the perturbed one."""
        return (*self.guidance.rows, PERTURBED)

    @property
    def unet_inputs(self) -> Mapping[str, Array]:
        """Those of the other guidance."""
        return self.guidance.unet_inputs

    def scale_at(self, timestep: float) -> float:
        """Return the scale at a timestep.

        >>> from sdrt.guidance import Unguided
        >>> PerturbedGuidance(Unguided(), 3.0, 0.01).scale_at(900.0), PerturbedGuidance(Unguided(), 3.0, 0.01).scale_at(100.0)
        (2.0, 0.0)
        """
        return max(0.0, self.scale - self.adaptive_scale * (_FIRST_TIMESTEP - timestep))

    def __call__(self, predictions: Float, call: Call, /) -> Guided:
        """Guide, and add what perturbing took away."""
        split = split_rows(predictions, self.rows)
        perturbed = split[PERTURBED]
        guided = self.guidance(predictions[: len(predictions) - len(perturbed)], call)
        difference: Float = split[PROMPT] - perturbed
        difference *= self.scale_at(call.timestep)
        return replace(guided, output=guided.output + difference)

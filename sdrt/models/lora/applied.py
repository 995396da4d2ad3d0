"""LoRAs with their strengths, as they are merged into a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.errors import WeightsError
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.models.base import Model
from sdrt.models.component_tensors import Change
from sdrt.models.components import ComponentName
from sdrt.models.lora.delta import Delta
from sdrt.models.lora.matching import Lora
from sdrt.models.lora.scales import ADAPTED
from sdrt.values import Number

__all__ = ["AppliedLora", "identity_of", "with_loras"]

_STRENGTH = Number()

ModelT = TypeVar("ModelT", bound=Model)


@dataclass(frozen=True, eq=False)
class AppliedLora:
    """A LoRA and how strongly it acts.

    Parameters
    ----------
    lora : Lora
    strength : float
        On the U-Net; 0 leaves it as it is, and a negative number takes away what the LoRA adds.
    te_strength : float or None
        On the text encoders; None: ``strength``.

    Raises
    ------
    ConfigError : a strength is no finite number
    """

    lora: Lora
    strength: float = 1.0
    te_strength: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", float(_STRENGTH.check("a LoRA's strength", self.strength)))
        te_strength = self.strength if self.te_strength is None else self.te_strength
        object.__setattr__(self, "te_strength", float(_STRENGTH.check("a LoRA's strength for text encoders", te_strength)))

    def on(self, component: ComponentName) -> float:
        """Return the strength on a component; 0 where the file has nothing for it."""
        if component not in self.lora.deltas:
            return 0.0
        return self.strength if component == "unet" or self.te_strength is None else self.te_strength


class _Layer(NamedTuple):
    lora: Lora
    strength: float
    delta: Delta


def identity_of(loras: Sequence[AppliedLora], component: ComponentName) -> tuple[tuple[str, float], ...]:
    """Return what tells a component with these LoRAs from the same with others; empty where they leave it as it is."""
    return tuple((each.lora.sha256, each.on(component)) for each in loras if each.on(component))


def with_loras(model: ModelT, loras: Sequence[AppliedLora], functions: Functions = PLATFORM) -> ModelT:
    """Return a model with LoRAs merged into its weights whenever they are read; without any, the model as it was.

    A tensor that several LoRAs change is changed by one after the other, in their order: it matters for DoRA and IA3 alone.

    Parameters
    ----------
    model : Model
        That they were matched with.
    loras : sequence of AppliedLora
        In place of those that were merged before.
    functions : Functions
        That products and sums are computed with.

    Raises
    ------
    ConfigError : a model of programs, whose weights are fixed
    """
    return model.with_changes({component: _changes(loras, component, functions) for component in ADAPTED if identity_of(loras, component)})


def _changes(loras: Sequence[AppliedLora], component: ComponentName, functions: Functions) -> dict[str, Change]:
    layers: dict[str, list[_Layer]] = {}
    for each in loras:
        if strength := each.on(component):
            for name, delta in each.lora.deltas[component].items():
                layers.setdefault(name, []).append(_Layer(each.lora, strength, delta))
    return {name: partial(_merged, name, changes, functions) for name, changes in layers.items()}


def _merged(name: str, layers: Sequence[_Layer], functions: Functions, stored: Array) -> Array:
    """Return a tensor with its changes, in float32, or in float64 where it is stored so.

    Raises
    ------
    WeightsError : the result is not finite
    """
    weight: Float = stored.astype(np.result_type(stored.dtype, np.float32))
    for lora, strength, delta in layers:
        with np.errstate(over="ignore", invalid="ignore"):
            change = delta(weight, functions)
            weight += change if strength == 1 else change * weight.dtype.type(strength)
        if not np.isfinite(weight).all():
            raise WeightsError(
                f"{lora.file}: must leave {name} finite, got values beyond the range of {weight.dtype} at strength {strength:g}; "
                "use a smaller strength"
            )
    return weight

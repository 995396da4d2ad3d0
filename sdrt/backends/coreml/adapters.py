"""What each component's packages call the arrays of the canonical contract, and how they lay them out.

Source: apple/ml-stable-diffusion at e12202c, ``torch2coreml.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sdrt.arrays import Array, TensorSpec
from sdrt.models.components import ComponentName
from sdrt.models.components.text_time import BASE_NUMBERS, REFINER_NUMBERS
from sdrt.models.coreml.ports import Ports
from sdrt.models.mlpackage.features import Feature

__all__ = ["Adapter", "adapter_of"]

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How a component's arrays go in and come out.

    Parameters
    ----------
    outputs : mapping from the contract's name to the packages' names, the first that is there being taken
    fillers : tuple of str
        Inputs of packages that the contract has no word for; they are zeros.
    """

    outputs: Mapping[str, tuple[str, ...]]
    fillers: tuple[str, ...] = field(default=())

    def found_outputs(self, ports: Ports) -> dict[str, str]:
        """Find the contract's outputs that the packages have, with the packages' names for them."""
        found: dict[str, str] = {}
        for name, spellings in self.outputs.items():
            if there := next((each for each in spellings if each in ports.outputs), None):
                found[name] = there
        return found


_TEXT = Adapter(
    outputs={
        "last_hidden_state": ("last_hidden_state",),
        "penultimate_hidden_state": ("hidden_embeds",),
        "pooled": ("pooled_outputs",),
    }
)
_ADAPTERS: Mapping[ComponentName, Adapter] = {
    "text_encoder": _TEXT,
    "text_encoder_2": _TEXT,
    "unet": Adapter(outputs={"noise_pred": ("noise_pred",)}),
    "vae_decoder": Adapter(outputs={"image": ("image",)}),
    "vae_encoder": Adapter(outputs={"moments": ("latent",)}),
    # its scores have thresholds and adjustment in them already, in another way than the contract's: its own verdict is taken
    "safety_checker": Adapter(outputs={"has_nsfw": ("has_nsfw_concepts",)}, fillers=("images", "adjustment")),
}


def adapter_of(component: ComponentName, ports: Ports) -> Adapter:
    """Return the adapter of a component; a ControlNet's has as many outputs as its package."""
    if component == "controlnet":
        count = sum(name.startswith("additional_residual_") for name in ports.outputs)
        return Adapter(outputs={f"additional_residual_{index}": (f"additional_residual_{index}",) for index in range(count)})
    return _ADAPTERS[component]


def to_package_layout(spec: TensorSpec, feature: Feature, value: Array) -> Array:
    """Rows of an array as a package takes them.

    Text states f[n,L,D] become (n,D,1,L) where the package has four dimensions; the numbers of SDXL's sizes are laid end to end where it
    has one. The type is the package's own, so that what is bound is cast once.
    """
    if spec.name == "encoder_hidden_states" and len(default_shape(feature)) == 4:
        value = value.transpose(0, 2, 1)[:, :, None, :]
    elif spec.name == "time_ids" and len(default_shape(feature)) == 1:
        value = value.reshape(-1)
    # float16 rounds small values to 0 and large ones to infinity
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(value, feature.dtype or value.dtype)


def canonical_shape(spec: TensorSpec, shape: Shape) -> Shape:
    """Return the contract's shape, rows included, of an array that a package takes in this shape."""
    if spec.name == "encoder_hidden_states" and len(shape) == 4:
        return (shape[0], shape[3], shape[1])
    if spec.name == "time_ids" and len(shape) == 1:
        count = BASE_NUMBERS if shape[0] % BASE_NUMBERS == 0 else REFINER_NUMBERS
        return (shape[0] // count, count)
    return shape


def default_shape(feature: Any) -> Shape:
    """Return a feature's shape, or the first of those that it may have."""
    if feature.shape:
        shape: Shape = feature.shape
        return shape
    first: Shape = feature.choices[0] if feature.choices else tuple(low for low, _ in feature.ranges)
    return first


def nsfw_flags(values: Sequence[Array]) -> Array:
    """bool[n] of what a safety checker says, one number a picture in any shape."""
    flat: Array = np.concatenate([np.asarray(value).reshape(len(value), -1).max(axis=1) > 0.5 for value in values])
    return flat

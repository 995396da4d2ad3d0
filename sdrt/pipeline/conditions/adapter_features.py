"""T2I-Adapters in a run: their pictures at its size, and the features that the U-Net adds at each call.

Source: Mou et al. 2023 (arXiv:2302.08453); diffusers 0.42.1 ``StableDiffusionXLAdapterPipeline``, ``MultiAdapter``. Departs where a
sampler makes several calls a step: ``adapter_conditioning_factor`` is a share of the calls, as of the steps, where diffusers counts as many
calls as the share of the steps has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import F32, Array, Float
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.guidance import Call, Row
from sdrt.images.inputs import to_unit
from sdrt.images.preprocessors import preprocess
from sdrt.models.components.feature_places import ADAPTER_FEATURES
from sdrt.pipeline.conditions.adapter_choice import AdapterChoice
from sdrt.pipeline.conditions.followed import resize_of, under_regions
from sdrt.pipeline.conditions.source import Source

__all__ = ["AdapterFeatures", "AdapterInput", "adapter_features", "read_adapters"]

_NAME = "adapter_image"


@dataclass(frozen=True, eq=False)
class AdapterInput:
    """What one T2I-Adapter reads, and how it acts.

    Parameters
    ----------
    pictures : f32[1 or n,C,H,W] in [0, 1]
        For all images of the call, or for each.
    scale, factor : float
        See `AdapterChoice`.
    """

    pictures: F32
    scale: float
    factor: float

    def acts(self, call: Call) -> bool:
        """Return whether the adapter acts in this call."""
        return call.index < int(call.num_calls * self.factor)


def read_adapters(
    choices: Sequence[AdapterChoice], height: int, width: int, source: Source | None, functions: Functions
) -> tuple[AdapterInput, ...]:
    """Resize and pre-process the pictures of each T2I-Adapter; where the run changes a picture, as that picture.

    Raises
    ------
    ConfigError : the run's size is none for an adapter
    ImageError : neither a PIL image nor an array of bytes
    """
    for choice in choices:
        for name, side in (("height", height), ("width", width)):
            if side % choice.square:
                raise ConfigError(
                    f"{name} must be a multiple of {choice.square} for this T2I-Adapter, got {side}; "
                    f"try {max(1, round(side / choice.square)) * choice.square}"
                )
    return tuple(AdapterInput(_read(choice, height, width, source, functions), choice.scale, choice.factor) for choice in choices)


def _read(choice: AdapterChoice, height: int, width: int, source: Source | None, functions: Functions) -> F32:
    resize = resize_of(source)
    each = [under_regions(_NAME, picture, source) for picture in choice.pictures]
    # one for each image where there are several pictures, or several regions of one
    count = max(len(each), len(each[0]))
    chosen = [each[k % len(each)][k % len(each[0])] for k in range(count)]
    units = [preprocess(choice.preprocessor, to_unit(_NAME, picture, height, width, resize), functions=functions) for picture in chosen]
    if choice.channels == 1:
        units = [preprocess("grey", unit, functions=functions)[:, :1] for unit in units]
    return np.concatenate(units)


@dataclass(frozen=True, eq=False)
class AdapterFeatures:
    """What the U-Net adds: features of T2I-Adapters, each times its adapter's scale, zeros where none acts.

    Parameters
    ----------
    inputs : sequence of AdapterInput
    features : sequence of tuples of float[1 or n,c,h,w]
        Of each adapter, as many of them as the U-Net takes.
    """

    inputs: Sequence[AdapterInput]
    features: Sequence[tuple[Float, ...]]

    def fixed(self, samples: Sequence[tuple[Row, int]], dtype: np.dtype[np.floating]) -> Mapping[str, Array]:
        """Return the features where every adapter acts in the whole run."""
        return self._added([True] * len(self.inputs), samples, dtype) if self._always else {}

    def varying(self, samples: Sequence[tuple[Row, int]], call: Call, dtype: np.dtype[np.floating]) -> Mapping[str, Array]:
        """Return the features of one call where adapters act in a part of the run."""
        return {} if self._always else self._added([each.acts(call) for each in self.inputs], samples, dtype)

    @property
    def _always(self) -> bool:
        return all(each.factor >= 1 for each in self.inputs)

    def _added(self, acting: Sequence[bool], samples: Sequence[tuple[Row, int]], dtype: np.dtype[np.floating]) -> dict[str, Array]:
        totals: dict[int, Float] = {}
        for acts, own, features in zip(acting, self.inputs, self.features, strict=True):
            for place, feature in enumerate(features):
                scaled = feature * dtype.type(own.scale if acts else 0.0)
                totals[place] = totals[place] + scaled if place in totals else scaled
        images = [image for _, image in samples]
        return {
            f"adapter_feature_{place}": total[[image % len(total) for image in images]].astype(dtype, copy=False)
            for place, total in totals.items()
        }


def adapter_features(
    adapters: Sequence[NetworkPool], inputs: Sequence[AdapterInput], unet: Mapping[str, Any]
) -> tuple[AdapterFeatures, ...]:
    """Run each T2I-Adapter on its pictures, one after another; ``unet`` is the U-Net's configuration. Empty without adapters.

    Raises
    ------
    BackendError, ModelError : a network cannot be opened, or fails
    """
    if not inputs:
        return ()
    features = []
    for pool, own in zip(adapters, inputs, strict=True):
        with pool.using("t2i_adapter") as network:
            pictures = own.pictures.astype(network.float_dtype(), copy=False)
            outputs = [network(image=picture[None]) for picture in pictures]
        names = [f"feature_{place}" for place in range(len(outputs[0]))][: unet[ADAPTER_FEATURES]]
        features.append(tuple(np.concatenate([output[name] for output in outputs]) for name in names))
    return (AdapterFeatures(inputs, features),)

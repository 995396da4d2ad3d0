"""A component on OpenVINO as a network of the contract."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdrt.arrays import Array, Signature
from sdrt.backends import BoundNetwork
from sdrt.backends.openvino.programs import Programs
from sdrt.errors import ArrayContractError
from sdrt.models import ComponentName
from sdrt.models.components.denoisers import latent_multiple

__all__ = ["OpenVinoNetwork"]


class OpenVinoNetwork(BoundNetwork):
    """Compiled programs behind the contract.

    Parameters
    ----------
    component : ComponentName
    signature : Signature
    config : mapping
        The component's configuration.
    programs : Programs
    """

    def __init__(self, component: ComponentName, signature: Signature, config: Mapping[str, Any], programs: Programs) -> None:
        super().__init__(component, signature)
        self._config, self._programs = config, programs

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self._refuse(inputs)
        outputs = self._programs.run({name: np.ascontiguousarray(x) for name, x in inputs.items()})
        return dict(zip(self._signature.output_names(), outputs, strict=True))

    def _release(self) -> None:
        if self._parent is None:
            self._programs.close()
        del self._programs

    def _refuse(self, given: Mapping[str, Array]) -> None:
        """Raise ArrayContractError for what the signature cannot say and the converted model would not notice."""
        config = self._config
        if "input_ids" in given:
            ids, known = given["input_ids"], config["vocab_size"]
            if ids.size and not 0 <= ids.min() <= ids.max() < known:
                raise ArrayContractError(
                    f"{self._component} input: input_ids holds {ids.min()}..{ids.max()}, but the vocabulary has {known} tokens"
                )
        if "time_ids" in given:
            width, count = given["text_embeds"].shape[1], given["time_ids"].shape[1]
            room = config["projection_class_embeddings_input_dim"] - count * config["addition_time_embed_dim"]
            if width != room:
                raise ArrayContractError(
                    f"{self._component} input: text_embeds must be {room} wide beside {count} time_ids, got {width}; "
                    "SDXL's base takes 6 numbers, its refiner 5"
                )
        if "sample" in given:
            stride = latent_multiple(config)
            if any(size % stride for size in given["sample"].shape[2:]):
                height, width = given["sample"].shape[2:]
                raise ArrayContractError(
                    f"{self._component} input: sample must have sides that are multiples of {stride} for OpenVINO, got {height}x{width}; "
                    f"choose a picture whose sides are multiples of {8 * stride}, or backend 'torch'"
                )

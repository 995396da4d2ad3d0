"""A component on OpenVINO behind sdrt's protocol of a network."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from sdrt.arrays import Array, Signature, TensorSpec, check_arrays
from sdrt.backends.openvino.programs import Programs
from sdrt.errors import ArrayContractError, BackendError
from sdrt.models import ComponentName

__all__ = ["OpenVinoNetwork"]


class OpenVinoNetwork:
    """See :class:`sdrt.backends.Network`.

    Closing a network gives the memory back and ends those bound from it; closing a bound one ends only that.
    """

    def __init__(self, component: ComponentName, signature: Signature, config: Mapping[str, Any], programs: Programs) -> None:
        self._component, self._signature, self._config = component, signature, config
        self._programs: Programs | None = programs
        self._constants: Mapping[str, Array] = {}
        self._parent: OpenVinoNetwork | None = None

    @property
    def signature(self) -> Signature:
        """Names, dtypes and shapes of what it takes and gives, bound inputs included."""
        return self._signature

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run once on every input that is not bound."""
        programs = self._open_programs()
        check_arrays(f"{self._component} input", self._free(self._signature.inputs), inputs, self._free(self._signature.optional))
        given = {**self._constants, **inputs}
        self._refuse(given)
        names = (*self._signature.input_names(), *self._signature.optional_names())
        outputs = programs.run({name: np.ascontiguousarray(given[name]) for name in names if name in given})
        return dict(zip(self._signature.output_names(), outputs, strict=True))

    def bind(self, **constants: Array) -> Self:
        """The same network with some inputs fixed, as copies."""
        programs = self._open_programs()
        specs = tuple(spec for spec in self._free(self._signature.inputs) if spec.name in constants)
        check_arrays(f"{self._component} bound input", specs, constants, self._free(self._signature.optional))
        bound = type(self)(self._component, self._signature, self._config, programs)
        bound._constants = {**self._constants, **{name: x.copy() for name, x in constants.items()}}
        bound._parent = self
        return bound

    def close(self) -> None:
        """Give the memory back; twice is fine."""
        if self._programs is not None and self._parent is None:
            self._programs.close()
        self._programs = None

    def _open_programs(self) -> Programs:
        if self._programs is None:
            raise BackendError(f"{self._component}: this network is closed; open the model again to use it")
        if self._parent is not None:
            self._parent._open_programs()
        return self._programs

    def _free(self, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return tuple(spec for spec in specs if spec.name not in self._constants)

    def _refuse(self, given: Mapping[str, Array]) -> None:
        """What the signature cannot say, and the converted model would not notice."""
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
                raise ArrayContractError(f"{self._component} input: {count} time_ids leave room for text_embeds {room} wide; got {width}")
        if "sample" in given:
            stride = 2 ** (len(config["block_out_channels"]) - 1)
            if any(size % stride for size in given["sample"].shape[2:]):
                height, width = given["sample"].shape[2:]
                raise ArrayContractError(
                    f"{self._component} input: OpenVINO runs a sample whose sides are multiples of {stride}; got {height}x{width}: "
                    f"choose a picture whose sides are multiples of {8 * stride}, or backend 'torch'"
                )

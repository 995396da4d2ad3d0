"""A torch module as a network of the contract: numpy on the seam, torch behind it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import numpy as np
import torch

from sdrt.arrays import Array, Signature
from sdrt.backends.binding import BoundNetwork
from sdrt.backends.component_options import PLAIN, ComponentOptions
from sdrt.backends.torch.adapter import Adapter
from sdrt.backends.torch.compiling import CompiledModule
from sdrt.backends.torch.forked_device import check_forked_device
from sdrt.backends.torch.memory import give_back, oom_as_backend_error
from sdrt.backends.torch.options import TorchOptions
from sdrt.backends.torch.tensor_float import full_float32
from sdrt.backends.torch.threads import at_most
from sdrt.backends.torch.tracing import trace, trace_inputs, trace_names
from sdrt.models.components import ComponentName

__all__ = ["TorchNetwork"]

# Shapes of text change from prompt to prompt and one call is short: what makes these faster costs more than it gives.
_NEVER_COMPILED = ("text_encoder", "text_encoder_2", "safety_checker", "image_encoder", "image_projection")


class TorchNetwork(BoundNetwork):
    """A torch module behind the contract: numpy arrays outside, tensors of the module's device and dtype inside."""

    def __init__(
        self,
        component: ComponentName,
        signature: Signature,
        adapter: Adapter,
        options: TorchOptions,
        component_options: ComponentOptions = PLAIN,
    ) -> None:
        super().__init__(component, signature)
        self._name, self._options = component, options
        # of which `with_options` makes others
        self._plain_adapter = adapter
        self._adapter = adapter = adapter.with_options(component_options)
        self._module: Callable[..., tuple[torch.Tensor, ...]] = adapter
        if options.compile and component not in _NEVER_COMPILED:
            self._module = CompiledModule(component, adapter, options.on_compile)
        self._dtype = next(adapter.parameters()).dtype
        self._tensors: Mapping[str, torch.Tensor] = {}

    def with_options(self, options: ComponentOptions) -> Self:
        """Open the component with other options on this network's tensors; either may be closed before the other."""
        with self._in_use():
            return type(self)(self._name, self._signature, self._plain_adapter, self._options, options)

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the module.

        Raises
        ------
        BackendError : memory is short, or torch cannot compile the module
        ArrayContractError : an input holds what the model cannot take
        """
        self._adapter.refuse(inputs)
        with self._computing():
            outputs = self._module(
                **self._tensors, **self._to_tensors({name: x for name, x in inputs.items() if name not in self._constants})
            )
            dtypes = (np.dtype(spec.dtype) for spec in self._signature.outputs)
            return {name: _to_numpy(x, dtype) for name, x, dtype in zip(self._signature.output_names(), outputs, dtypes, strict=True)}

    def _bind(self, constants: Mapping[str, Array]) -> None:
        """Move the inputs to the device once; a ControlNet's picture is embedded once.

        Keys and values of a text are left to each call: for SD 1.5 and SDXL they are less than one part in a hundred of its products.
        """
        self._adapter.refuse(self._constants)
        with self._computing():
            self._tensors = {**self._tensors, **self._adapter.prepare(self._to_tensors(constants))}

    def _trace_names(self) -> tuple[str, ...]:
        return trace_names(self._name, self._adapter)

    def _trace_inputs(self) -> tuple[str, ...]:
        return trace_inputs(self._name, self._adapter)

    def _trace(self, names: Collection[str], inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._trace_substituted(names, inputs, {})

    def _trace_substituted(self, names: Collection[str], inputs: Mapping[str, Array], substitutes: Mapping[str, Array]) -> dict[str, Array]:
        self._adapter.refuse(inputs)
        dtype = next(np.dtype(spec.dtype) for spec in self._signature.outputs)
        others = {name: _to_torch(x, self._options.device, None) for name, x in substitutes.items()}
        with self._computing():
            values = trace(self._name, self._adapter, self._to_tensors(inputs), names, others)
            return {name: _to_numpy(x, dtype) for name, x in values.items()}

    def _release(self) -> None:
        del self._adapter, self._plain_adapter, self._module, self._tensors
        if self._parent is None:
            give_back(self._options.device)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        device = self._options.device
        check_forked_device(self._component, device)
        with (
            torch.inference_mode(),
            at_most(self._options.threads),
            full_float32(device, self._dtype),
            oom_as_backend_error(self._component, device),
        ):
            yield

    def _to_tensors(self, inputs: Mapping[str, Array]) -> dict[str, torch.Tensor]:
        exact = self._adapter.exact
        return {name: _to_torch(x, self._options.device, None if name in exact else self._dtype) for name, x in inputs.items()}


def _to_torch(x: Array, device: torch.device, dtype: torch.dtype | None) -> torch.Tensor:
    """On the device; floating arrays in ``dtype``, integers as torch's tables want them."""
    # torch takes neither negative strides nor memory that it may not write
    plain = np.ascontiguousarray(x) if x.flags.writeable else x.copy()
    if plain.dtype.kind != "f":
        dtype = torch.int64
    return torch.from_numpy(plain).to(device=device, dtype=dtype)


def _to_numpy(x: torch.Tensor, dtype: np.dtype[np.generic]) -> Array:
    array: Array = x.to("cpu", torch.float64 if dtype == np.float64 else torch.float32).contiguous().numpy()
    return array

"""One face for every network of this backend: numpy on the seam, torch behind it."""

from collections.abc import Callable, Mapping
from typing import Self

import numpy as np
import torch

from sdrt.arrays import Array, Signature
from sdrt.backends.torch.adapter import Adapter
from sdrt.backends.torch.compiling import CompiledModule
from sdrt.backends.torch.memory import give_back, told
from sdrt.backends.torch.options import TorchOptions
from sdrt.backends.torch.threads import at_most
from sdrt.errors import ArrayContractError, BackendError
from sdrt.models.components import ComponentName

__all__ = ["TorchNetwork"]

# Shapes of text change from prompt to prompt and one call is short: what makes these faster costs more than it gives.
_NEVER_COMPILED = ("text_encoder", "text_encoder_2", "safety_checker")


class TorchNetwork:
    """A network of the torch backend; see `sdrt.backends.base.Network`.

    Closing a network gives the weights back and ends those bound from it; closing a bound one ends only that.
    """

    def __init__(self, component: ComponentName, signature: Signature, adapter: Adapter, options: TorchOptions) -> None:
        self._component = component
        self._signature = signature
        self._options = options
        self._adapter: Adapter | None = adapter
        self._run: Callable[..., tuple[torch.Tensor, ...]] = adapter
        if options.compile and component not in _NEVER_COMPILED:
            self._run = CompiledModule(component, adapter, options.on_compile)
        self._dtype = next(adapter.parameters()).dtype
        self._bound: frozenset[str] = frozenset()
        self._constants: Mapping[str, torch.Tensor] = {}
        self._shapes: Mapping[str, Array] = {}
        self._parent: TorchNetwork | None = None

    @property
    def signature(self) -> Signature:
        """Names, dtypes and shapes of what it takes and gives, bound inputs included."""
        return self._signature

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run once on every input that is not bound.

        Raises
        ------
        BackendError : the network is closed, memory is short, or torch cannot compile it
        ArrayContractError : an input is missing, unknown or bound already, or holds what the model cannot take
        """
        adapter = self._open_adapter()
        required, optional = self._free()
        self._check_names(inputs, [required, [*required, *optional]])
        adapter.refuse({**self._shapes, **inputs})
        with torch.inference_mode(), at_most(self._options.threads), told(self._component, self._options.device):
            outputs = self._run(**self._constants, **self._moved(inputs))
            dtypes = (np.dtype(spec.dtype) for spec in self._signature.outputs)
            return {name: _to_numpy(x, dtype) for name, x, dtype in zip(self._signature.output_names(), outputs, dtypes, strict=True)}

    def bind(self, **constants: Array) -> Self:
        """The same network with some inputs fixed: moved to the device once; a ControlNet's picture is embedded once.

        Keys and values of a text are left to each call: for SD 1.5 and SDXL they are less than one part in a hundred of its products.

        Raises
        ------
        BackendError : the network is closed, or memory is short
        ArrayContractError : an input is unknown or bound already, or holds what the model cannot take
        """
        adapter = self._open_adapter()
        required, optional = self._free()
        chosen = [name for name in constants if name in required]
        self._check_names(constants, [chosen, [*chosen, *optional]])
        # the caller's memory stays the caller's
        copies = {name: x.copy() for name, x in constants.items()}
        adapter.refuse({**self._shapes, **copies})
        bound = self._child()
        with torch.inference_mode(), at_most(self._options.threads), told(self._component, self._options.device):
            bound._constants = {**self._constants, **adapter.prepare(self._moved(copies))}
        bound._bound, bound._shapes = self._bound | constants.keys(), {**self._shapes, **copies}
        return bound

    def close(self) -> None:
        """Give the memory back; twice is fine."""
        self._adapter = None
        self._run = _closed
        self._constants = {}
        if self._parent is None:
            give_back(self._options.device)

    def _free(self) -> tuple[list[str], list[str]]:
        """Names of the inputs that are not bound: those needed, and those that come together or not at all."""
        required = [name for name in self._signature.input_names() if name not in self._bound]
        return required, [name for name in self._signature.optional_names() if name not in self._bound]

    def _child(self) -> Self:
        bound = type(self).__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._parent = self
        return bound

    def _open_adapter(self) -> Adapter:
        if self._adapter is None:
            raise BackendError(f"{self._component}: this network is closed; open the model again to use it")
        if self._parent is not None:
            self._parent._open_adapter()
        return self._adapter

    def _check_names(self, inputs: Mapping[str, Array], allowed: list[list[str]]) -> None:
        if not any(inputs.keys() == set(names) for names in allowed):
            bound = f" ({', '.join(sorted(self._bound))} bound)" if self._bound else ""
            required, optional = self._free()
            together = f", and all or none of {optional[0]} to {optional[-1]}" if optional else ""
            raise ArrayContractError(
                f"{self._component} input: takes {', '.join(required) or 'nothing'}{together}{bound}; got {', '.join(inputs) or 'nothing'}"
            )

    def _moved(self, inputs: Mapping[str, Array]) -> dict[str, torch.Tensor]:
        exact = self._open_adapter().exact
        return {name: _to_torch(x, self._options.device, None if name in exact else self._dtype) for name, x in inputs.items()}


def _closed(**_: torch.Tensor) -> tuple[torch.Tensor, ...]:
    raise BackendError("this network is closed; open the model again to use it")


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

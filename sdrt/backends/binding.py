"""The network protocol without the computation: checked names, bound inputs, closing.

A backend's network subclasses :class:`BoundNetwork` and adds the computation:

>>> import numpy as np
>>> class Doubling(BoundNetwork):
...     def _run(self, inputs):
...         return {"image": 2 * inputs["z"] + inputs["shift"]}
>>> specs = (TensorSpec("z", "float32", (None,)), TensorSpec("shift", "float32", (None,)))
>>> network = Doubling("vae_decoder", Signature(inputs=specs, outputs=()))
>>> shifted = network.bind(shift=np.ones(2))
>>> shifted(z=np.zeros(2))["image"].tolist()
[1.0, 1.0]
>>> network.close()
>>> shifted(z=np.zeros(2))
Traceback (most recent call last):
...
sdrt.errors.BackendError: vae_decoder: this network is closed; open the model again to use it
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Self, overload

from sdrt.arrays import Array, Signature, TensorSpec
from sdrt.errors import ArrayContractError, BackendError, ConfigError
from sdrt.forking import ForkLock

__all__ = ["BoundNetwork"]


class BoundNetwork(ABC):
    """Implement the protocol of :class:`sdrt.backends.Network` for a backend that writes `_run`, and other hooks if needed.

    Closing a network also closes those that were bound from it; closing a bound one closes only that. Running calls finish undisturbed:
    memory is released after the last one.

    Parameters
    ----------
    component : str
        For messages.
    signature : Signature
        Names, dtypes and shapes of the network's inputs and outputs, bound inputs included.

    Attributes
    ----------
    _component, _signature
        The arguments.
    _constants : mapping
        Copies of all bound inputs.
    _parent : BoundNetwork or None
        The network that it was bound from.
    """

    def __init__(self, component: str, signature: Signature) -> None:
        self._component = component
        self._signature = signature
        self._constants: Mapping[str, Array] = {}
        self._parent: BoundNetwork | None = None
        # private to this class: one lock for a network and all that are bound from it, and the number of running calls
        self.__lock = ForkLock()
        self.__calls, self.__closed, self.__released = 0, False, False

    @property
    def signature(self) -> Signature:
        """Names, dtypes and shapes of the inputs and outputs, bound inputs included."""
        return self._signature

    @property
    def closed(self) -> bool:
        """Whether it, or a network that it was bound from, is closed."""
        return any(network.__closed for network in self._lineage())

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run once on all inputs that are not bound.

        Raises
        ------
        BackendError : the network is closed
        ArrayContractError : an input is missing, unknown or already bound, or only some of the optional ones are passed
        """
        with self._in_use():
            self._check_names(inputs)
            return self._run(self._ordered({**self._constants, **inputs}))

    def bind(self, **constants: Array) -> Self:
        """Return the same network with some inputs fixed, as copies.

        Raises
        ------
        BackendError : the network is closed
        ArrayContractError : an input is unknown or already bound, or only some of the optional ones are passed
        """
        with self._in_use():
            self._check_names(constants, partly=True)
            copies = {name: x.copy() for name, x in constants.items()}
            bound = copy.copy(self)
            bound._parent = self
            bound.__calls, bound.__closed, bound.__released = 0, False, False
            bound._constants = bound._ordered({**self._constants, **copies})
            bound._bind(copies)
            return bound

    @property
    def trace_names(self) -> tuple[str, ...]:
        """The inner values that `trace` returns, by module path; empty for a network that returns none.

        Raises
        ------
        BackendError : the network is closed
        """
        with self._in_use():
            return self._trace_names()

    @property
    def trace_inputs(self) -> tuple[str, ...]:
        """The modules whose input `trace` returns too, under the module's path and ``.input``; empty for a network that returns none.

        Raises
        ------
        BackendError : the network is closed
        """
        with self._in_use():
            return self._trace_inputs()

    @overload
    def trace(self, names: Collection[str], **inputs: Array) -> dict[str, Array]: ...
    @overload
    def trace(self, names: Collection[str], substitutes: Mapping[str, Array] | None, **inputs: Array) -> dict[str, Array]: ...
    def trace(  # type: ignore[misc]  # an input cannot be called substitutes
        self, names: Collection[str], substitutes: Mapping[str, Array] | None = None, **inputs: Array
    ) -> dict[str, Array]:
        """Run once and return inner values, as diffusers' modules compute them.

        With substitutes, each module that one is for returns its own value here and passes on the substitute, so that every later module
        runs on another network's values: its error is its own.

        Parameters
        ----------
        names : collection of str
            Names from `trace_names`: paths as in diffusers, such as ``down_blocks.0.resnets.1``, or ``text_model.encoder.layers.3`` for
            either text encoder. A name from `trace_inputs` with ``.input`` behind it is what that module takes.
        substitutes : mapping of arrays, optional
            By names from `trace_names`, of the values' shapes.
        **inputs
            As for a call.

        Returns
        -------
        dict of arrays by name, in the order of their computation and in torch's layout: float[n, C, h, w] or float[n, L, D]

        Raises
        ------
        ConfigError : a name is unknown, the message has similar names; or a network that passes on no substitutes
        ArrayContractError : as a call; or a substitute of another shape than the value
        BackendError : as a call
        """
        with self._in_use():
            self._check_names(inputs)
            known = self._trace_names()
            self._check_trace_names(names, {*known, *(f"{name}.input" for name in self._trace_inputs())})
            if not names:
                return {}
            arrays = self._ordered({**self._constants, **inputs})
            if not substitutes:
                return self._trace(names, arrays)
            self._check_trace_names(substitutes, {*known})
            return self._trace_substituted(names, arrays, substitutes)

    def close(self) -> None:
        """Free the memory; closing twice is fine."""
        self.__closed = True
        self._release_when_idle()

    @abstractmethod
    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs, in arrays of their own.

        Parameters
        ----------
        inputs : mapping
            All inputs, bound ones included, and all or none of the optional ones, in the signature's order.
        """

    def _bind(self, constants: Mapping[str, Array]) -> None:  # noqa: B027 a network that precomputes nothing has nothing to do
        """Compute values that depend on fixed inputs alone; called on the new network, a shallow copy of the one it is bound from.

        Parameters
        ----------
        constants : mapping
            Copies of the inputs that are fixed now; `_constants` holds these and the earlier ones.
        """

    def _trace_names(self) -> tuple[str, ...]:
        """List the names that `_trace` can return."""
        return ()

    def _trace_inputs(self) -> tuple[str, ...]:
        """List the modules whose input `_trace` can return."""
        return ()

    def _trace(self, names: Collection[str], inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002 for those that have any
        """Compute one or more inner values that `_trace_names` and `_trace_inputs` list; `inputs` as in `_run`."""
        return {}

    def _trace_substituted(
        self,
        names: Collection[str],  # noqa: ARG002 for those that pass substitutes on
        inputs: Mapping[str, Array],  # noqa: ARG002
        substitutes: Mapping[str, Array],  # noqa: ARG002
    ) -> dict[str, Array]:
        """Compute the same with other values in place of those that these modules give."""
        raise ConfigError(
            f"{self._component}: substitutes must be none for a {type(self).__name__}, got some; trace one of numpy or torch with them"
        )

    def _release(self) -> None:  # noqa: B027 arrays and the like are freed by themselves
        """Release memory; called once, when the network is closed and no call runs. A bound network shares its weights with its parent."""

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Keep the network, and those that it is bound from, open while a call runs."""
        lineage = self._lineage()
        with self.__lock:
            if self.closed:
                raise BackendError(f"{self._component}: this network is closed; open the model again to use it")
            for network in lineage:
                network.__calls += 1
        try:
            yield
        finally:
            with self.__lock:
                for network in lineage:
                    network.__calls -= 1
            for network in lineage:
                network._release_when_idle()

    def _lineage(self) -> "list[BoundNetwork]":
        """List this network and the ones that it was bound from."""
        return [self] if self._parent is None else [self, *self._parent._lineage()]

    def _release_when_idle(self) -> None:
        with self.__lock:
            if not self.__closed or self.__calls or self.__released:
                return
            self.__released = True
        self._constants = {}
        self._release()

    def _free(self, specs: tuple[TensorSpec, ...]) -> list[str]:
        return [spec.name for spec in specs if spec.name not in self._constants]

    def _ordered(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {spec.name: arrays[spec.name] for spec in (*self._signature.inputs, *self._signature.optional) if spec.name in arrays}

    def _check_names(self, arrays: Mapping[str, Array], *, partly: bool = False) -> None:
        """Refuse arrays that are missing (unless `partly`), unknown or already bound, and an incomplete set of optional ones."""
        required, optional = self._free(self._signature.inputs), self._free(self._signature.optional)
        wanted = {name for name in required if name in arrays or not partly}
        if arrays.keys() not in (wanted, wanted.union(optional)):
            takes = ", ".join(required) or "nothing"
            if optional:
                takes += f", and all or none of {optional[0]} to {optional[-1]}"
            bound = f" ({', '.join(self._constants)} bound)" if self._constants else ""
            raise ArrayContractError(
                f"{self._component} input: names must be {takes}{bound}, got {', '.join(arrays) or 'none'}; pass each of them by its name"
            )

    def _check_trace_names(self, names: Collection[str], known: Collection[str]) -> None:
        for name in names:
            if name not in known:
                from difflib import get_close_matches

                similar = ", ".join(get_close_matches(name, sorted(known), n=3)) or f"{len(known)} others"
                raise ConfigError(f"{self._component}: names must be among trace_names, got {name!r}; it has {similar}")

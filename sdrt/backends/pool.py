"""The networks of one model, opened when first needed, with every input and output checked."""

import copy
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias, overload

import numpy as np

from sdrt.arrays import Array, Signature, TensorSpec, check_arrays, check_finite
from sdrt.backends.base import Backend, BackendOptions, Network, SharingNetwork, TraceableNetwork
from sdrt.backends.binding import BoundNetwork
from sdrt.backends.component_options import PLAIN, ComponentOptions, check_component_options
from sdrt.backends.foreign import check_network, failures_of, signature_of
from sdrt.errors import BackendError, ConfigError, WeightsError
from sdrt.forking import ForkLock
from sdrt.models.base import Model
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.recorded import RecordedModel

__all__ = ["CheckedNetwork", "NetworkPool", "OnCall"]

# Hears of a call: the component, all of its inputs, its outputs.
OnCall: TypeAlias = Callable[[str, Mapping[str, Array], Mapping[str, Array]], None]


# How many networks of one component stay open for different options.
_VARIANTS = 4

# The backends whose components the table lists; backends of other packages raise for a component themselves.
_TABLED = frozenset(name for component in COMPONENTS.values() for name in component.backends)


@dataclass(frozen=True)
class CheckedNetwork:
    """Check the inputs and outputs of a network against its signature: the one place where a backend's mistakes surface by name.

    Parameters
    ----------
    component : str
        Its name, for messages.
    network : Network
    bound : frozenset of str
        Inputs that are already fixed.
    on_call : callable or None
        Hears of every call.
    constants : mapping
        The inputs that are already fixed, where somebody hears of calls.
    """

    component: str
    network: Network
    bound: frozenset[str] = frozenset()
    on_call: OnCall | None = None
    constants: Mapping[str, Array] = field(default_factory=dict)

    @property
    def signature(self) -> Signature:
        return self.network.signature

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run once.

        Raises
        ------
        ArrayContractError : an array is missing, unknown, of another shape or dtype, or an output holds a NaN or an infinity
        BackendError : the network raises anything else than an SdrtError
        """
        check_arrays(f"{self.component} input", self._unbound(self.signature.inputs), inputs, self._unbound(self.signature.optional))
        with failures_of(self._owner):
            outputs = self.network(**inputs)
        check_arrays(f"{self.component} output", self.signature.outputs, outputs)
        for name, value in outputs.items():
            check_finite(f"{self.component} output", name, value)
        if self.on_call is not None:
            self.on_call(self.component, {**self.constants, **inputs}, outputs)
        return outputs

    def bind(self, **constants: Array) -> Self:
        """Return the same network with some inputs fixed for a run."""
        # an unknown name is left out of the specs, so that the check reports it
        specs = tuple(spec for spec in self._unbound(self.signature.inputs) if spec.name in constants)
        check_arrays(f"{self.component} bound input", specs, constants, self._unbound(self.signature.optional))
        with failures_of(self._owner):
            network = self.network.bind(**constants)
        signature_of(f"{self.component}: a bound network", network)
        known = {} if self.on_call is None else {**self.constants, **{name: x.copy() for name, x in constants.items()}}
        return replace(self, network=network, bound=self.bound | constants.keys(), constants=known)

    @property
    def trace_names(self) -> tuple[str, ...]:
        """The inner values that `trace` returns; empty for a network that returns none."""
        return self.network.trace_names if isinstance(self.network, TraceableNetwork) else ()

    @property
    def trace_inputs(self) -> tuple[str, ...]:
        """The modules whose input `trace` returns too, under the module's path and ``.input``."""
        return self.network.trace_inputs if isinstance(self.network, BoundNetwork) else ()

    @overload
    def trace(self, names: Collection[str], **inputs: Array) -> dict[str, Array]: ...
    @overload
    def trace(self, names: Collection[str], substitutes: Mapping[str, Array] | None, **inputs: Array) -> dict[str, Array]: ...
    def trace(  # type: ignore[misc]  # an input cannot be called substitutes
        self, names: Collection[str], substitutes: Mapping[str, Array] | None = None, **inputs: Array
    ) -> dict[str, Array]:
        """Run once and return inner values, see :meth:`sdrt.backends.BoundNetwork.trace`.

        Raises
        ------
        ArrayContractError : as for a call; or a substitute of another shape than the value
        ConfigError : a name is unknown, or the network passes on no substitutes
        """
        check_arrays(f"{self.component} input", self._unbound(self.signature.inputs), inputs, self._unbound(self.signature.optional))
        if isinstance(self.network, TraceableNetwork):
            if substitutes and not isinstance(self.network, BoundNetwork):
                raise ConfigError(
                    f"{self.component}: substitutes must be none for a {type(self.network).__name__}, got some; leave them out"
                )
            passed: dict[str, Any] = {"substitutes": substitutes} if substitutes else {}
            with failures_of(self._owner):
                return self.network.trace(names, **passed, **inputs)
        raise ConfigError(f"{self.component}: network must have trace(), got a {type(self.network).__name__} without; use backend 'numpy'")

    def close(self) -> None:
        with failures_of(self._owner):
            self.network.close()

    def float_dtype(self) -> np.dtype[np.floating]:
        """Return the dtype of floating arrays on this network's seam."""
        specs = (*self.signature.outputs, *self.signature.inputs)
        return next(dtype for dtype in map(np.dtype, (spec.dtype for spec in specs)) if dtype.kind == "f")

    @property
    def _owner(self) -> str:
        return f"{self.component}: {type(self.network).__name__}"

    def _unbound(self, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return tuple(spec for spec in specs if spec.name not in self.bound)


# A network by what is fixed when it is opened: component, options, and what was merged into its weights.
_Key: TypeAlias = tuple[ComponentName, ComponentOptions, Hashable]


@dataclass(eq=False)
class _Shelf:
    """The open networks of a pool and of all its views, behind one lock."""

    networks: dict[_Key, CheckedNetwork] = field(default_factory=dict)
    users: Counter[_Key] = field(default_factory=Counter)
    last_merged: dict[ComponentName, Hashable] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    lock: ForkLock = field(default_factory=ForkLock)
    closed: bool = False

    def sharing(self, component: ComponentName, merged: Hashable) -> SharingNetwork | None:
        """Return an open network of a component whose weights another one with other options may share."""
        open_ones = (network.network for key, network in self.networks.items() if key[0] == component and key[2] == merged)
        return next((network for network in open_ones if isinstance(network, SharingNetwork)), None)

    def take_old(self, component: ComponentName) -> list[CheckedNetwork]:
        """Remove and return the idle networks of a component beyond the few that were asked for last: one may try many options."""
        keys = [key for key in self.networks if key[0] == component]
        return [self.networks.pop(key) for key in keys[:-_VARIANTS] if not self.users[key]]

    def take_idle(self, component: ComponentName, merged: Hashable) -> list[CheckedNetwork]:
        """Remove and return the idle networks of a component that have other weights than these."""
        idle = [key for key in self.networks if key[0] == component and key[2] != merged and not self.users[key]]
        return [self.networks.pop(key) for key in idle]


class NetworkPool:
    """Open, share and close networks by component; safe in threads.

    Of a component whose weights come with different LoRAs (see :meth:`merging`), the variants in use are open, and the one that was used
    last.

    Parameters
    ----------
    model : Model
    backends, options : mapping by component
    keep_loaded : bool
        Whether an idle network stays open for the next call. If not, only networks in use take memory.
    """

    def __init__(
        self,
        model: Model,
        backends: Mapping[ComponentName, Backend],
        options: Mapping[ComponentName, BackendOptions],
        *,
        keep_loaded: bool = True,
    ) -> None:
        self.model = model
        self._backends = backends
        self._options = options
        self.keep_loaded = keep_loaded
        self._merged: Mapping[ComponentName, Hashable] = {}
        self._on_call: OnCall | None = None
        self._shelf = _Shelf()

    def merging(self, model: Model, merged: Mapping[ComponentName, Hashable]) -> Self:
        """Return a view of this pool for the same model with other weights in some components; the rest of the networks is shared.

        Parameters
        ----------
        model : Model
        merged : mapping from component to a hashable value
            What tells its weights from those of other views; components that it leaves out have their own weights.
        """
        view = copy.copy(self)
        view.model, view._merged = model, merged
        return view

    def watched(self, on_call: OnCall) -> Self:
        """Return a view of this pool whose networks tell of their calls; the networks are shared."""
        view = copy.copy(self)
        view._on_call = on_call
        return view

    @contextmanager
    def using(self, component: ComponentName, options: ComponentOptions = PLAIN) -> Iterator[CheckedNetwork]:
        """Keep the network of ``component`` open for as long as the context lasts.

        Parameters, errors: as :meth:`get`.
        """
        key, shelf = self._key(component, options), self._shelf
        with shelf.lock:
            network = self._opened(key)
            shelf.users[key] += 1
        try:
            yield self._view(network, options)
        finally:
            with shelf.lock:
                # and forget names without users: there is one for each choice of LoRAs
                shelf.users -= Counter([key])
                kept = self.keep_loaded and shelf.last_merged.get(component) == key[2]
                idle = None if kept or shelf.users[key] else shelf.networks.pop(key, None)
            if idle is not None:
                idle.close()

    def check(self, component: ComponentName, options: ComponentOptions) -> None:
        """Raise ConfigError unless a component can be opened with these options; open nothing.

        The message names the component, the option, and the backend that lacks support.
        """
        backend, runners = self._backends[component], COMPONENTS[component].backends
        if backend.name in _TABLED and backend.name not in runners:
            raise ConfigError(f"backend of {component} must be one of {', '.join(runners)}, got {backend.name!r}; choose another for it")
        config = self.model.config(component)
        for key, extra in COMPONENTS[component].extras.items():
            if config.get(key) and backend.name in _TABLED and backend.name not in extra.backends:
                able = " or ".join(extra.backends)
                raise ConfigError(f"backend of {component} must be {able} with {extra.what}, got {backend.name!r}; choose another for it")
        check_component_options(component, config, options, backend.name, backend.component_options)

    def runner(self, component: ComponentName) -> tuple[Backend, BackendOptions]:
        """Return what runs a component, and how."""
        return self._backends[component], self._options[component]

    def is_open(self, component: ComponentName, options: ComponentOptions = PLAIN) -> bool:
        """Return whether the network is open, so that :meth:`get` opens nothing."""
        with self._shelf.lock:
            return self._key(component, options) in self._shelf.networks

    def get(self, component: ComponentName, options: ComponentOptions = PLAIN) -> CheckedNetwork:
        """Return the network of ``component``, opened if necessary; it stays open, until another variant of it is asked for.

        Parameters
        ----------
        component : ComponentName
        options : ComponentOptions
            Fixed when the component is opened, so other options mean another network.

        Raises
        ------
        ConfigError : as :meth:`check`
        BackendError : the pool is closed for good
        BackendError : the backend fails, or gives something that is no network
        ModelError : the folder does not fit, or holds tensors that have no place in the network
        """
        with self._shelf.lock:
            return self._view(self._opened(self._key(component, options)), options)

    def _view(self, network: CheckedNetwork, options: ComponentOptions) -> CheckedNetwork:
        on_call = self._on_call
        if on_call is None:
            return network
        # in one run the same inputs may go through both
        name = f"{network.component}.perturbed" if options.identity_attention else network.component
        return replace(network, on_call=lambda _, inputs, outputs: on_call(name, inputs, outputs))

    def _key(self, component: ComponentName, options: ComponentOptions) -> _Key:
        return component, options, self._merged.get(component, ())

    def _opened(self, key: _Key) -> CheckedNetwork:
        """Open or find the network; the caller holds the lock."""
        shelf = self._shelf
        if shelf.closed:
            raise BackendError("the pipeline is closed; make a new one with sdrt.load")
        component, options, merged = key
        shelf.last_merged[component] = merged
        # before another one is opened: two variants of a U-Net may not fit into memory
        _close_all(shelf.take_idle(component, merged))
        if key in shelf.networks:
            # the last of the dictionary is the one that was asked for last
            shelf.networks[key] = shelf.networks.pop(key)
            return shelf.networks[key]
        self.check(component, options)
        recorded = RecordedModel(self.model)
        backend = self._backends[component]
        with failures_of(f"{component}: backend {backend.name!r}"):
            sharing = shelf.sharing(component, merged)
            if sharing is None:
                opened = backend.open(component, recorded.as_model(), self._options[component], options)
            else:
                opened = sharing.with_options(options)
        numerics = self._options[component].numerics
        network = CheckedNetwork(component, check_network(component, opened, self.model.config(component), numerics))
        try:
            shelf.remarks |= recorded.check() if sharing is None else {}
        except WeightsError:
            network.close()
            raise
        shelf.networks[key] = network
        _close_all(shelf.take_old(component))
        return network

    @property
    def remarks(self) -> Mapping[str, str]:
        """What the components that were opened so far have and do not use: one sentence for each topic, ``"unused tensors of unet"``."""
        with self._shelf.lock:
            return dict(self._shelf.remarks)

    def unload(self) -> None:
        """Close every network; the next ``get`` opens it again."""
        with self._shelf.lock:
            networks = list(self._shelf.networks.values())
            self._shelf.networks.clear()
        _close_all(networks)

    def close(self) -> None:
        """Close for good; closing twice is fine."""
        with self._shelf.lock:
            self._shelf.closed = True
        self.unload()


def _close_all(networks: Iterable[CheckedNetwork]) -> None:
    # one that fails keeps none of the others open
    with ExitStack() as closing:
        for network in networks:
            closing.callback(network.close)

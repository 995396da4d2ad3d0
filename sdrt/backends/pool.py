"""The networks of one model, opened when first needed, with every input and output checked."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np

from sdrt.arrays import Array, Signature, TensorSpec, check_arrays, check_finite
from sdrt.backends.base import Backend, BackendOptions, Network, TraceableNetwork
from sdrt.backends.component_options import PLAIN, ComponentOptions, check_component_options
from sdrt.backends.foreign import check_network, failures_of, signature_of
from sdrt.errors import BackendError, ConfigError, WeightsError
from sdrt.forking import ForkLock
from sdrt.models.base import Model
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.recorded import RecordedModel

__all__ = ["CheckedNetwork", "NetworkPool"]


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
    """

    component: str
    network: Network
    bound: frozenset[str] = frozenset()

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
        return outputs

    def bind(self, **constants: Array) -> Self:
        """Return the same network with some inputs fixed for a run."""
        # an unknown name is left out of the specs, so that the check reports it
        specs = tuple(spec for spec in self._unbound(self.signature.inputs) if spec.name in constants)
        check_arrays(f"{self.component} bound input", specs, constants, self._unbound(self.signature.optional))
        with failures_of(self._owner):
            network = self.network.bind(**constants)
        signature_of(f"{self.component}: a bound network", network)
        return type(self)(self.component, network, self.bound | constants.keys())

    @property
    def trace_names(self) -> tuple[str, ...]:
        """The inner values that `trace` returns; empty for a network that returns none."""
        return self.network.trace_names if isinstance(self.network, TraceableNetwork) else ()

    def trace(self, names: Collection[str], **inputs: Array) -> dict[str, Array]:
        """Run once and return inner values, see :meth:`sdrt.backends.BoundNetwork.trace`.

        Raises
        ------
        ArrayContractError : as for a call
        ConfigError : a name is unknown
        """
        check_arrays(f"{self.component} input", self._unbound(self.signature.inputs), inputs, self._unbound(self.signature.optional))
        if isinstance(self.network, TraceableNetwork):
            with failures_of(self._owner):
                return self.network.trace(names, **inputs)
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


class NetworkPool:
    """Open, share and close networks by component; safe in threads.

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
        self._networks: dict[tuple[ComponentName, ComponentOptions], CheckedNetwork] = {}
        self._users: Counter[tuple[ComponentName, ComponentOptions]] = Counter()
        self._remarks: dict[str, str] = {}
        self._lock = ForkLock()
        self._closed = False

    @contextmanager
    def using(self, component: ComponentName, options: ComponentOptions = PLAIN) -> Iterator[CheckedNetwork]:
        """Keep the network of ``component`` open for as long as the context lasts.

        Parameters, errors: as :meth:`get`.
        """
        key = (component, options)
        with self._lock:
            network = self._opened(component, options)
            self._users[key] += 1
        try:
            yield network
        finally:
            with self._lock:
                self._users[key] -= 1
                idle = None if self.keep_loaded or self._users[key] else self._networks.pop(key, None)
            if idle is not None:
                idle.close()

    def check(self, component: ComponentName, options: ComponentOptions) -> None:
        """Raise ConfigError unless a component can be opened with these options; open nothing.

        The message names the component, the option, and the backend that lacks support.
        """
        backend, runners = self._backends[component], COMPONENTS[component].backends
        if backend.name in _TABLED and backend.name not in runners:
            raise ConfigError(f"backend of {component} must be one of {', '.join(runners)}, got {backend.name!r}; choose another for it")
        check_component_options(component, self.model.config(component), options, backend.name, backend.component_options)

    def is_open(self, component: ComponentName, options: ComponentOptions = PLAIN) -> bool:
        """Return whether the network is open, so that :meth:`get` opens nothing."""
        with self._lock:
            return (component, options) in self._networks

    def get(self, component: ComponentName, options: ComponentOptions = PLAIN) -> CheckedNetwork:
        """Return the network of ``component``, opened if necessary; it stays open.

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
        with self._lock:
            return self._opened(component, options)

    def _opened(self, component: ComponentName, options: ComponentOptions) -> CheckedNetwork:
        """Open or find the network; the caller holds the lock."""
        if self._closed:
            raise BackendError("the pipeline is closed; make a new one with sdrt.load")
        key = (component, options)
        if key not in self._networks:
            self.check(component, options)
            recorded = RecordedModel(self.model)
            backend = self._backends[component]
            with failures_of(f"{component}: backend {backend.name!r}"):
                opened = backend.open(component, recorded.as_model(), self._options[component], options)
            numerics = self._options[component].numerics
            network = CheckedNetwork(component, check_network(component, opened, self.model.config(component), numerics))
            try:
                self._remarks |= recorded.check()
            except WeightsError:
                network.close()
                raise
            self._networks[key] = network
        return self._networks[key]

    @property
    def remarks(self) -> Mapping[str, str]:
        """What the components that were opened so far have and do not use: one sentence for each topic, ``"unused tensors of unet"``."""
        with self._lock:
            return dict(self._remarks)

    def unload(self) -> None:
        """Close every network; the next ``get`` opens it again."""
        with self._lock:
            networks = list(self._networks.values())
            self._networks.clear()
        # one that fails keeps none of the others open
        with ExitStack() as closing:
            for network in networks:
                closing.callback(network.close)

    def close(self) -> None:
        """Close for good; closing twice is fine."""
        with self._lock:
            self._closed = True
        self.unload()

"""The seam between the runtime and the backends that run networks: the protocols, and the options of every backend."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

from sdrt.arrays import Array, Numerics, Signature, float_dtype
from sdrt.backends.component_options import PLAIN, ComponentOptions
from sdrt.models.base import Model
from sdrt.models.components import ComponentName
from sdrt.values import Anything, Flag, Integer, MappingOf, Nullable

__all__ = ["Backend", "BackendOptions", "Network", "SharingNetwork", "TraceableNetwork"]


@dataclass(frozen=True, kw_only=True)
class BackendOptions:
    """How a backend runs its networks.

    Parameters
    ----------
    numerics : "float32", "float64" or "exact"
        The promise of precision, which decides the dtype of the seam. "exact" is asked only of a backend whose attribute ``numerics``, a
        collection of such names, has it; a backend without the attribute is asked for float32 and float64.
    threads : int or None
        Upper bound on the threads of one call; None leaves it to the backend (the cores that this process may use).
    low_memory : bool
        Whether to trade speed for less peak memory: weights stay mapped as stored and are widened at each use, attention is computed in
        slices. A backend without such a mode ignores it.
    extra : mapping
        The backend's own options, already checked against its ``option_names``.
    """

    numerics: Numerics = "float32"
    threads: int | None = None
    low_memory: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        float_dtype(self.numerics)
        Nullable(Integer(minimum=1)).check("threads", self.threads, "None is all cores")
        Flag().check("low_memory", self.low_memory)
        MappingOf(Anything()).check("extra", self.extra)


class Network(Protocol):
    """A pure function over named arrays. Several threads may call it; its outputs never alias inputs or workspaces."""

    @property
    def signature(self) -> Signature:
        """Names, dtypes and shapes of its inputs and outputs."""
        ...

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run once. Takes every input of the signature that is not bound, and all or none of the optional ones.

        The runtime checks the arrays on both sides.
        """
        ...

    def bind(self, **constants: Array) -> Self:
        """Return the same network with some inputs fixed for a run; values that depend on them alone are computed once."""
        ...

    def close(self) -> None:
        """Free the memory. Closing twice is fine; calling afterwards raises BackendError."""
        ...


@runtime_checkable
class TraceableNetwork(Network, Protocol):
    """A network that returns inner values. Every :class:`~sdrt.backends.BoundNetwork` is one, though its ``trace_names`` may be empty."""

    @property
    def trace_names(self) -> tuple[str, ...]:
        """The inner values that `trace` returns, by the paths of their modules in diffusers."""
        ...

    def trace(self, names: Collection[str], **inputs: Array) -> dict[str, Array]:
        """Run once and return inner values, in the layout of diffusers' modules; an unknown name raises ConfigError with similar names."""
        ...


@runtime_checkable
class SharingNetwork(Network, Protocol):
    """A network that opens others with its weights, which are then neither read nor held twice. Optional."""

    def with_options(self, options: ComponentOptions) -> Network:
        """Return the network that ``Backend.open`` would give with these options in place of this one's; each is closed by itself.

        Raises
        ------
        BackendError : this network is closed
        """
        ...


class Backend(Protocol):
    """Open networks."""

    @property
    def name(self) -> str:
        """The name under which ``load(backend=...)`` knows it."""
        ...

    @property
    def option_names(self) -> tuple[str, ...]:
        """The backend's own options, which it takes in ``BackendOptions.extra``."""
        ...

    @property
    def component_options(self) -> Collection[str]:
        """The fields of :class:`~sdrt.backends.ComponentOptions` that its networks support; the runtime refuses the others."""
        ...

    def open(self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN) -> Network:
        """Open one component of a model.

        Parameters
        ----------
        component : ComponentName
        model : Model
        options : BackendOptions
            How to run it.
        component_options : ComponentOptions
            What to compute; options that `component_options` does not list have their defaults.

        Raises
        ------
        ConfigError : this backend does not support an option or the configuration
        ModelError : the folder does not fit; the message names file and tensor
        """
        ...

"""The seam between the runtime and whatever runs the networks: two protocols and the options that every backend understands."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Protocol, Self, runtime_checkable

from sdrt.arrays import Array, Numerics, Signature, float_dtype
from sdrt.backends.component_options import PLAIN, ComponentOptions
from sdrt.errors import ConfigError
from sdrt.models.base import Model
from sdrt.models.components import ComponentName

__all__ = ["Backend", "BackendOptions", "Network", "TraceableNetwork"]


@dataclass(frozen=True, kw_only=True)
class BackendOptions:
    """How a backend is to run its networks.

    Parameters
    ----------
    numerics : "float32" or "float64"
        The dtype of the seam, and the least precision of every product behind it.
    threads : int or None
        Upper bound of the threads that one call uses; None leaves it to the backend (the cores that this process may use).
    low_memory : bool
        Whether to trade speed for a small peak: weights stay mapped as they are stored and are widened where they are used, attention is
        computed in slices. A backend that has no such way runs as ever.
    extra : mapping
        The backend's own options, already checked against its ``option_names``.
    """

    numerics: Numerics = "float32"
    threads: int | None = None
    low_memory: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        float_dtype(self.numerics)
        if self.threads is not None and (not isinstance(self.threads, Integral) or self.threads < 1):
            raise ConfigError(
                f"threads must be a whole number of at least 1, or None for all cores, got {self.threads!r}; pass such a number"
            )


class Network(Protocol):
    """A pure function over named arrays. It may be called from several threads; its outputs never alias inputs or workspaces."""

    @property
    def signature(self) -> Signature:
        """Names, dtypes and shapes of what it takes and gives."""
        ...

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run once. Takes every input of the signature that is not bound, and all or none of the optional ones.

        The runtime checks the arrays on both sides.
        """
        ...

    def bind(self, **constants: Array) -> Self:
        """Return the same network with some inputs fixed for a run: moved once, and what depends on them alone computed once."""
        ...

    def close(self) -> None:
        """Give the memory back; closing twice is fine, calling afterwards raises BackendError."""
        ...


@runtime_checkable
class TraceableNetwork(Network, Protocol):
    """A network that can be looked into. :class:`~sdrt.backends.BoundNetwork` is one, if only by saying that it knows no names."""

    @property
    def trace_names(self) -> tuple[str, ...]:
        """The inner values that `trace` gives, by their modules' paths in diffusers."""
        ...

    def trace(self, names: Collection[str], **inputs: Array) -> dict[str, Array]:
        """Run once for inner values, in the layout of diffusers' modules; an unknown name is a ConfigError with those that are near."""
        ...


class Backend(Protocol):
    """Opens networks."""

    @property
    def name(self) -> str:
        """The name under which ``load(backend=...)`` knows it."""
        ...

    @property
    def option_names(self) -> tuple[str, ...]:
        """The options of its own that it takes in ``BackendOptions.extra``."""
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
            What to compute; those that `component_options` does not name have their defaults.

        Raises
        ------
        ConfigError : an option or a configuration that this backend cannot do
        ModelError : the folder does not fit; the message names file and tensor
        """
        ...

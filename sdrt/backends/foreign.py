"""Hold what others wrote against the protocols: backends and networks whose faults are named here, whatever they raise.

Nothing is known of such an object but what its protocol promises. Everything else of sdrt may rely on that after these checks.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import Numerics, Signature, TensorSpec
from sdrt.backends.base import Backend, Network
from sdrt.backends.contract import signature as contract
from sdrt.errors import BackendError, SdrtError
from sdrt.models.components import ComponentName
from sdrt.printable import shown
from sdrt.values import Kind, ListOf, RefusedError, Text

__all__ = ["BackendKind", "check_network", "failures_of", "signature_of"]


@dataclass(frozen=True)
class BackendKind(Kind[Backend]):
    """An object with the attributes of :class:`sdrt.backends.Backend`, as far as can be seen without opening a network.

    Parameters
    ----------
    words : str
        The rule, as a noun phrase.
    """

    words: str = "an object with name, option_names, component_options and open"

    def describe(self) -> str:
        return self.words

    def convert(self, value: object) -> Any:
        if isinstance(value, type) or not callable(_attribute(value, "open")):
            raise RefusedError
        Text(length=100, empty=False).convert(_attribute(value, "name"))
        for names in ("option_names", "component_options"):
            held = _attribute(value, names)
            # an array is a list to ListOf; the other collections may be sets
            ListOf(Text()).convert(tuple(held) if isinstance(held, Collection) and not isinstance(held, str | np.ndarray) else held)
        return value


@contextmanager
def failures_of(owner: str) -> Iterator[None]:
    """Turn whatever a backend raises, other than an SdrtError, into one that names it.

    Parameters
    ----------
    owner : str
        The component and who runs it.

    Raises
    ------
    BackendError
    """
    try:
        yield
    except SdrtError:
        raise
    except MemoryError as error:
        why = f" ({error})" if str(error) else ""
        raise BackendError(f"{owner}: not enough memory{why}; draw fewer or smaller pictures, or load with reduce_memory") from error
    except Exception as error:
        raise BackendError(
            f"{owner} failed ({type(error).__name__}: {error}); this is a fault of the backend: report it to its authors"
        ) from error


def check_network(component: ComponentName, network: Any, config: Mapping[str, Any], numerics: Numerics) -> Network:
    """Return what a backend opened if it is a network that can give what the component is for.

    Raises
    ------
    BackendError : it lacks something of :class:`sdrt.backends.Network`, or the one output of its component
    """
    owner = f"{component}: a network"
    own = signature_of(owner, network)
    for spec in (*own.inputs, *own.outputs, *own.optional):
        if not isinstance(spec, TensorSpec) or not _is_dtype(spec.dtype):
            raise BackendError(f"{owner} must have a signature of TensorSpecs, got {shown(spec)}; see sdrt.arrays.TensorSpec")
    wanted = contract(component, config, numerics).output_names()
    if len(wanted) == 1 and wanted[0] not in own.output_names():
        raise BackendError(f"{owner} must give {wanted[0]}, got {', '.join(own.output_names()) or 'nothing'}; name its output so")
    checked: Network = network
    return checked


def signature_of(owner: str, network: Any) -> Signature:
    """Return the signature of a network that was opened or bound.

    Raises
    ------
    BackendError : it lacks something of :class:`sdrt.backends.Network`
    """
    try:
        own = _attribute(network, "signature")
        methods = all(callable(_attribute(network, name)) for name in ("__call__", "bind", "close"))
    except RefusedError:
        own, methods = None, False
    if not methods or not isinstance(own, Signature):
        raise BackendError(f"{owner} must have signature, bind, close and a call, got {shown(network)}; see sdrt.backends.Network")
    return own


def _attribute(value: object, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception:  # noqa: BLE001 -- a caller's class may raise anything in a property
        raise RefusedError from None


def _is_dtype(name: object) -> bool:
    try:
        return isinstance(name, str) and bool(np.dtype(name))
    except (TypeError, ValueError, SyntaxError):
        return False

"""The backends: those built in, and those that other packages register in the entry-point group ``sdrt.backends``.

An entry point names a callable without arguments (a class will do) that returns a :class:`~sdrt.backends.base.Backend`. It is loaded on
first use, so a broken plug-in is reported by name when it is used, and affects no other.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sdrt.backends.base import Backend
from sdrt.backends.foreign import BackendKind
from sdrt.errors import BackendError, ConfigError, SdrtError
from sdrt.values import Text

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["BackendStatus", "get", "names", "status"]

GROUP = "sdrt.backends"

_BUILT_IN = {
    "numpy": "sdrt.backends.numpy:NumpyBackend",
    "torch": "sdrt.backends.torch:TorchBackend",
    "coreml": "sdrt.backends.coreml:CoreMLBackend",
}


@dataclass(frozen=True)
class BackendStatus:
    """One row of ``sdrt backends``.

    Parameters
    ----------
    name : str
    origin : str
        ``built in``, or the distribution that registers it.
    problem : str or None
        Why it cannot be used here; None if it can.
    """

    name: str
    origin: str
    problem: str | None


def names() -> tuple[str, ...]:
    """List all backends by name, the built-in ones first; import none."""
    return (*_BUILT_IN, *sorted({point.name for point in _plug_ins()} - set(_BUILT_IN)))


def get(name: str) -> Backend:
    """Return the backend of this name; the same object every time.

    Raises
    ------
    ConfigError : no backend has this name, or two packages register it
    MissingExtraError : it needs a package that is not installed
    BackendError : it cannot be imported, or is not a backend
    """
    Text(length=200).check("backend", name, f"choose one of {', '.join(names())}")
    if name in _BUILT_IN:
        return _built_in(name)
    points = [point for point in _plug_ins() if point.name == name]
    if not points:
        raise ConfigError(f"backend must be {', '.join(names())}, got {name!r}; choose one of those, or install its plug-in")
    if len(points) > 1:
        raise ConfigError(f"backend {name!r} is registered by {' and '.join(sorted(map(_origin, points)))}; uninstall all but one")
    return _plug_in(points[0])


def status() -> tuple[BackendStatus, ...]:
    """List every backend, and whether it can be used here; import them all."""
    plug_ins = _plug_ins()
    rows = []
    for name in names():
        origins = [_origin(point) for point in plug_ins if point.name == name]
        rows.append(BackendStatus(name, "built in" if name in _BUILT_IN else ", ".join(origins), _problem(name)))
    shadowed = [point for point in plug_ins if point.name in _BUILT_IN]
    return (*rows, *(BackendStatus(point.name, _origin(point), "the name belongs to a built-in backend") for point in shadowed))


def _problem(name: str) -> str | None:
    try:
        get(name)
    except SdrtError as error:
        return str(error)
    return None


def _plug_ins() -> "tuple[EntryPoint, ...]":
    # imported here because it loads the standard library's mail parser, which built-in backends do not need
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP))


def _origin(point: "EntryPoint") -> str:
    return point.dist.name if point.dist is not None else point.value


@cache
def _built_in(name: str) -> Backend:
    module, _, attribute = _BUILT_IN[name].partition(":")
    factory: Callable[[], Backend] = getattr(importlib.import_module(module), attribute)
    return factory()


@cache
def _plug_in(point: "EntryPoint") -> Backend:
    try:
        backend: Any = point.load()()
    except SdrtError:
        raise
    # a plug-in that ends the program while it loads ends itself alone
    except (Exception, SystemExit) as error:
        raise BackendError(f"backend {point.name!r} of {_origin(point)} fails to load ({type(error).__name__}: {error})") from error
    owner = f"backend {point.name!r} of {_origin(point)}"
    checked: Backend = BackendKind().check(owner, backend, "see sdrt.backends.Backend", BackendError)
    return checked

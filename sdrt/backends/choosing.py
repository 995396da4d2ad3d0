"""Find the backends that a caller chose, and check the options that each of them takes."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Numerics
from sdrt.backends import registry
from sdrt.backends.base import Backend, BackendOptions
from sdrt.backends.foreign import BackendKind
from sdrt.backends.numerics import PLAIN_NUMERICS, check_numerics
from sdrt.errors import ConfigError
from sdrt.models.components import ComponentName

__all__ = ["chosen_backend", "options_of_backends"]

# The options that every backend takes, beside those in its option_names.
_COMMON_OPTIONS = ("threads",)


def chosen_backend(backend: str | Backend) -> Backend:
    """Return a backend that is chosen by name, or as an object.

    Raises
    ------
    ConfigError, BackendError : there is none, or it is no backend
    """
    if isinstance(backend, str):
        return registry.get(backend)
    return BackendKind("a name, a Backend, or a mapping by component").check("backend", backend, "pass one of those")


def options_of_backends(
    chosen: Mapping[ComponentName, Backend], numerics: Numerics, passed: Mapping[str, Any], *, low_memory: bool
) -> dict[ComponentName, BackendOptions]:
    """Return the options of every component, checked against those of its backend.

    Raises
    ------
    ConfigError : an option that no chosen backend has, or numerics that one of them does not promise
    """
    distinct = {each.name: each for each in chosen.values()}
    for name, each in distinct.items():
        check_numerics(name, getattr(each, "numerics", PLAIN_NUMERICS), numerics)
    known = [*_COMMON_OPTIONS, *dict.fromkeys(name for each in distinct.values() for name in each.option_names)]
    # it restricts nothing, and so a program may say it whatever runs its networks
    neutral = {"compute_unit"} if passed.get("compute_unit") == "ALL" else set()
    if unknown := sorted(set(passed) - set(known) - neutral):
        raise ConfigError(f"unknown option {', '.join(unknown)}; with backend {', '.join(distinct)} the options are {', '.join(known)}")
    return {
        component: BackendOptions(
            numerics=numerics,
            threads=passed.get("threads"),
            low_memory=low_memory,
            extra={name: passed[name] for name in each.option_names if name in passed},
        )
        for component, each in chosen.items()
    }

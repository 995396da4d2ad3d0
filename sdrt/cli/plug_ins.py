"""Commands that other packages add, in the entry-point group ``sdrt.commands``: ``sdrt convert`` is one.

An entry point names a function that takes argparse's subparsers and adds the command of its name. One that cannot be loaded still has its
name here, and says why when it is called: it harms no other command.
"""

import argparse
import logging
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn, TypeAlias

from sdrt.errors import BackendError, MissingExtraError, SdrtError

__all__ = ["GROUP", "add_commands"]

GROUP = "sdrt.commands"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_log = logging.getLogger(__name__)


def add_commands(commands: Commands) -> None:
    """Add every command that is registered, by name."""
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name in commands.choices:
            _log.warning("the command %r of %s is one that is there already; it is left out", point.name, _origin(point))
            continue
        try:
            add: Callable[[Commands], None] = point.load()
            add(commands)
        except Exception as error:  # noqa: BLE001 a plug-in raises what it likes, and harms no other command
            _add_broken(commands, point, error)


def _add_broken(commands: Commands, point: EntryPoint, error: Exception) -> None:
    # no argument is an option here: what stands behind the name is for a parser that is not there
    command = commands.add_parser(point.name, help=f"not available: {error}".replace("%", "%%"), add_help=False, prefix_chars="\0")
    command.add_argument("rest", nargs="*")
    command.set_defaults(run=partial(_refuse, point, error))


def _refuse(point: EntryPoint, error: Exception, _: Any) -> NoReturn:
    if isinstance(error, SdrtError):
        raise error
    if isinstance(error, ModuleNotFoundError):
        raise MissingExtraError(f"sdrt {point.name} needs {error.name}; install the extra: pip install 'sdrt[{point.name}]'") from error
    raise BackendError(f"sdrt {point.name} of {_origin(point)} fails to load ({type(error).__name__}: {error})") from error


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value

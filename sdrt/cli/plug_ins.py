"""Commands that other packages add, in the entry-point group ``sdrt.commands``: ``sdrt convert`` is one.

The group ``sdrt.apple_commands`` is that of ``sdrt apple``. An entry point names a function that takes argparse's subparsers and adds the
command of its name. One that cannot be loaded still has its name here, and says why when it is called: it harms no other command.
"""

import argparse
import logging
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn, TypeAlias

from sdrt.errors import BackendError, MissingExtraError, SdrtError
from sdrt.printable import printable

__all__ = ["APPLE_GROUP", "GROUP", "add_commands"]

GROUP = "sdrt.commands"
APPLE_GROUP = "sdrt.apple_commands"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_log = logging.getLogger(__name__)


class _UnfitError(Exception):
    """A plug-in that loads, and is no command."""


def add_commands(commands: Commands, group: str = GROUP) -> None:
    """Add every command that is registered in a group, by name."""
    try:
        points = sorted(entry_points(group=group), key=lambda point: point.name)
    except Exception as error:  # noqa: BLE001 -- another package's metadata may be damaged in any way
        # both groups are read from the same metadata: one line says so
        level = logging.WARNING if group == GROUP else logging.DEBUG
        _log.log(level, "no commands of other packages: their metadata cannot be read (%s: %s)", type(error).__name__, error)
        return
    for point in points:
        if point.name in commands.choices:
            _log.warning("the command %r of %s is one that is there already; it is left out", point.name, _origin(point))
            continue
        before = set(commands.choices)
        try:
            add: Callable[[Commands], None] = point.load()
            add(commands)
            _check(commands, point)
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- a plug-in raises what it likes, and harms no other command
            _remove(commands, set(commands.choices) - before)
            _add_broken(commands, point, error)


def _check(commands: Commands, point: EntryPoint) -> None:
    command = commands.choices.get(point.name)
    if command is None:
        raise _UnfitError(f"it adds no command {point.name!r}")
    if not callable(command.get_default("run")):
        raise _UnfitError("its command has no default 'run' that can be called")


def _remove(commands: Commands, names: set[str]) -> None:
    """Take back what a plug-in added before it failed."""
    for name in names:
        del commands.choices[name]
    commands._choices_actions[:] = [each for each in commands._choices_actions if each.dest not in names]


def _add_broken(commands: Commands, point: EntryPoint, error: BaseException) -> None:
    # no argument is an option here: what stands behind the name is for a parser that is not there
    text = printable(f"not available: {_reason(error)}").replace("%", "%%")
    command = commands.add_parser(point.name, help=text, add_help=False, prefix_chars="\0")
    command.add_argument("rest", nargs="*")
    command.set_defaults(run=partial(_refuse, point, error))


def _refuse(point: EntryPoint, error: BaseException, _: Any) -> NoReturn:
    if isinstance(error, SdrtError):
        raise error
    if isinstance(error, ModuleNotFoundError):
        raise MissingExtraError(f"sdrt {point.name} needs {error.name}; install the extra: pip install 'sdrt[{point.name}]'") from error
    raise BackendError(f"sdrt {point.name} of {_origin(point)} fails to load ({_reason(error)}); mend or remove that package") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, SdrtError | _UnfitError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it ends the program, with {error.code!r}"
    return f"{type(error).__name__}: {error}"


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value

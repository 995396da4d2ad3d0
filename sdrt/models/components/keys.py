"""The keys of a component's configuration: of each its default and what it may be, stated once and checked where the file enters.

What stands here is what the peers' classes take, in any form that a backend may run; a backend refuses by itself what it does not build.
Keys that are not stated are carried along, as diffusers and transformers carry them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.printable import shown
from sdrt.values import Either, Flag, Integer, Kind, ListOf, Nullable, Number, Text, read_values

__all__ = [
    "COUNT",
    "EPSILON",
    "FLAG",
    "ID",
    "NAME",
    "NUMBER",
    "SIDE",
    "Key",
    "check_layers",
    "check_levels",
    "each_level",
    "list_for_levels",
    "optional",
    "or_pair",
    "read_keys",
]

_LEVELS = 16  # each level halves the picture

COUNT = Integer(1, 2**20, whole_floats=True)
SIDE = Integer(1, 2**16, whole_floats=True)
ID = Integer(0, 2**31 - 1, whole_floats=True)
NUMBER = Number()
EPSILON = Number(0.0, 1.0)
FLAG = Flag()
NAME = Text(200, empty=False)

ABSENT: Final = object()


@dataclass(frozen=True)
class Key:
    """One key.

    Parameters
    ----------
    kind : Kind
    default : object
        That of the peer's class; left out for a key that stays missing where a configuration does not state it.
    """

    kind: Kind[Any]
    default: object = ABSENT


def optional(kind: Kind[Any], default: object = None) -> Key:
    """Return a key that may be null."""
    return Key(Nullable(kind), default)


def each_level(kind: Kind[Any]) -> Kind[Any]:
    """Return the kind of a value for all levels, or of a list with one for each."""
    return Either(kind, ListOf(kind, 1, _LEVELS))


def list_for_levels(kind: Kind[Any] = COUNT) -> Kind[Any]:
    """Return the kind of a list with an entry for each level, whole numbers where nothing else is said."""
    return ListOf(kind, 1, _LEVELS)


def or_pair(kind: Kind[Any]) -> Kind[Any]:
    """Return the kind of a side, or of a height and a width."""
    return Either(kind, ListOf(kind, 2, 2))


def read_keys(keys: Mapping[str, Key], config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check a configuration and fill in the defaults.

    Parameters
    ----------
    keys : mapping from name to Key
    config : mapping
    where : str
        What it is, for messages: its file.

    Returns
    -------
    dict
        With lists where JSON has lists.

    Raises
    ------
    ConfigError : a value is not of its kind
    """
    values = read_values(f"{where}: ", config, {name: key.kind for name, key in keys.items()}, "correct the file")
    defaults = {name: key.default for name, key in keys.items() if key.default is not ABSENT}
    return {**defaults, **config, **{name: _as_json(value) for name, value in values.items()}}


def check_levels(config: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    """Check that lists with an entry for each level are as long as ``block_out_channels``.

    Raises
    ------
    ConfigError : one is shorter or longer
    """
    levels = len(config["block_out_channels"])
    for name in names:
        value = config[name]
        if isinstance(value, list) and len(value) != levels:
            raise ConfigError(
                f"{where}: {name} must have {levels} entries, as many as block_out_channels has, got {shown(value)}; correct the file"
            )


def check_layers(config: Mapping[str, Any], names: Sequence[str], limits: Limits, where: str) -> None:
    """Check that a configuration does not ask for more layers than are allowed, before anything is built.

    Parameters
    ----------
    config : mapping
    names : sequence of str
        Keys whose numbers multiply: blocks of a level, layers of a block.
    limits : Limits
    where : str

    Raises
    ------
    ConfigError : it asks for more
    """
    levels = len(config.get("block_out_channels", (1,)))
    total = 1
    for name in names:
        total *= max(_numbers(config[name]), default=1)
    limits.check("layers", f"{where}: the layers by {' times '.join(names)}", total * levels, ConfigError)


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif value is not None:
        for entry in value:
            yield from _numbers(entry)


def _as_json(value: Any) -> Any:
    return [_as_json(entry) for entry in value] if isinstance(value, tuple) else value

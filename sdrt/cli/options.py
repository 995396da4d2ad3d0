"""The options of ``generate`` as flags: built from the table of options, and read back."""

import argparse
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sdrt.cli.paths import a_path
from sdrt.errors import ConfigError
from sdrt.log import log
from sdrt.pipeline.option_table import OPTIONS, Option

__all__ = ["add_options", "fold", "input_files", "open_inputs", "parse_options"]


_FLAGGED = {name: option for name, option in OPTIONS.items() if option.flags}
_FILES = {name: option for name, option in _FLAGGED.items() if option.kind in ("picture", "pictures", "array")}


def add_options(command: argparse.ArgumentParser) -> None:
    """Add a flag for each option, under the headings of the table."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in _FLAGGED.values():
        if option.section not in groups:
            groups[option.section] = command.add_argument_group(option.section)
        groups[option.section].add_argument(*option.flags, dest=option.name, help=option.help, **_how(option))
    command.add_argument("--cfg", help=argparse.SUPPRESS)


def _how(option: Option) -> dict[str, Any]:
    """Return how argparse reads an option; choices are checked where all options are, so that one wording names them."""
    match option.kind:
        case "integer":
            return {"type": int, "metavar": "N"}
        case "number":
            return {"type": float, "metavar": "X"}
        case "numbers":
            return {"type": float, "metavar": "X", "action": "append"}
        case "pair":
            return {"type": int, "nargs": 2, "metavar": option.metavar}
        case "picture" | "pictures" | "array":
            return {"type": a_path, "metavar": "FILE", "action": "append"}
        case "switch":
            return {"action": argparse.BooleanOptionalAction}
        case "choice":
            return {"metavar": f"{{{','.join(option.choices)}}}"}
        case _:
            return {"metavar": "NAME"}


def parse_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, as ``generate`` takes them, but for those that are files."""
    _renew(arguments)
    given = {name: getattr(arguments, name) for name in _FLAGGED if name not in _FILES}
    return {name: _value(OPTIONS[name], value) for name, value in given.items() if value is not None}


def _value(option: Option, value: Any) -> Any:
    if option.kind == "choice":
        return fold(value, option.choices)
    if option.name in ("rng", "sampler_rng"):
        return value.lower()
    if option.kind == "numbers":
        # one number is for all ControlNets
        return value[0] if len(value) == 1 else value
    return tuple(value) if option.kind == "pair" else value


def fold(value: str, choices: Iterable[str]) -> str:
    """Return the choice that a value is, whatever its capital letters; a value that is none as it is."""
    return next((choice for choice in choices if choice.casefold() == value.casefold()), value)


def input_files(arguments: argparse.Namespace) -> dict[str, tuple[Path, ...]]:
    """Return the files of the pictures and arrays that were given.

    Raises
    ------
    ConfigError : two where one is taken
    """
    files = {name: tuple(getattr(arguments, name) or ()) for name in _FILES}
    for name, paths in files.items():
        if _FILES[name].kind != "pictures" and len(paths) > 1:
            raise ConfigError(f"{_FILES[name].flags[0]} must be one file, got {len(paths)}; leave the others out")
    return {name: paths for name, paths in files.items() if paths}


def open_inputs(files: Mapping[str, tuple[Path, ...]]) -> dict[str, Any]:
    """Open pictures and arrays as ``generate`` takes them.

    Raises
    ------
    ImageError : a file that is missing, or is no picture
    MissingFileError, ModelError, ConfigError : a file that is missing, or is no array
    """
    from sdrt.images import open_picture
    from sdrt.npy import read_npy

    opened = {name: [(read_npy if _FILES[name].kind == "array" else open_picture)(path) for path in paths] for name, paths in files.items()}
    return {name: values if name == "control_image" or len(values) > 1 else values[0] for name, values in opened.items()}


def _renew(arguments: argparse.Namespace) -> None:
    """Put flags and values of 0.1.0 in today's place."""
    if arguments.cfg is not None:
        _tell_deprecated(f"--cfg {arguments.cfg} is deprecated; write --guidance-batching {arguments.cfg}")
        arguments.guidance_batching = arguments.cfg
    if arguments.emphasis == "no norm":
        _tell_deprecated("--emphasis 'no norm' is deprecated; write --emphasis no_norm")
        arguments.emphasis = "no_norm"


def _tell_deprecated(message: str) -> None:
    """Say it on standard error, where a user looks, and as the warning that a script's tests look for."""
    log.warning(message)
    warnings.warn(message, DeprecationWarning, stacklevel=2)

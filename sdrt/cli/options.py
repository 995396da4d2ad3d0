"""The options of ``generate`` as flags: built from the table of options, and read back."""

import argparse
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sdrt.cli.paths import a_path
from sdrt.cli.prompts import prompt_text
from sdrt.log import log
from sdrt.pipeline.input_files import FILE_OPTIONS, check_count
from sdrt.pipeline.option_table import OPTIONS, Option
from sdrt.printable import shown

__all__ = ["add_options", "fold", "input_files", "parse_options"]


_FLAGGED = {name: option for name, option in OPTIONS.items() if option.flags}


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
        case "integers":
            return {"type": _integers, "metavar": "N[,N...]"}
        case "number":
            return {"type": float, "metavar": "X"}
        case "numbers":
            return {"type": float, "metavar": "X", "action": "append"}
        case "pair":
            return {"type": int, "nargs": 2, "metavar": option.metavar}
        case "factors":
            return {"type": float, "nargs": len(option.metavar), "metavar": option.metavar}
        case "picture" | "pictures" | "array" | "arrays":
            return {"type": a_path, "metavar": "FILE", "action": "append"}
        case "switch":
            return {"action": argparse.BooleanOptionalAction}
        case "choice":
            return {"metavar": f"{{{','.join(option.choices)}}}"}
        case "choices":
            return {"metavar": f"{{{','.join(option.choices)}}}", "action": "append"}
        case "scales":
            return {"type": _scales, "metavar": f"{{{','.join(option.choices)}}}"}
        case "text":
            return {"type": prompt_text, "metavar": "TEXT"}
        case "texts":
            return {"type": prompt_text, "metavar": "TEXT", "action": "append"}
        case "names":
            return {"metavar": "NAME", "action": "append"}
        case _:
            return {"metavar": "NAME"}


def _integers(text: str) -> int | tuple[int, ...]:
    try:
        numbers = tuple(map(int, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, or several with commas between them, got {shown(text)}") from None
    return numbers[0] if len(numbers) == 1 else numbers


def _scales(text: str) -> str | list[float]:
    """Return numbers with commas between them; a word as it is."""
    try:
        return list(map(float, text.split(",")))
    except ValueError:
        return text


def parse_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, as ``generate`` takes them, but for those that are files."""
    _renew(arguments)
    given = {name: getattr(arguments, name) for name in _FLAGGED if name not in FILE_OPTIONS}
    return {name: _value(OPTIONS[name], value) for name, value in given.items() if value is not None}


def _value(option: Option, value: Any) -> Any:
    if option.kind == "choice" or (option.kind == "scales" and isinstance(value, str)):
        return fold(value, option.choices)
    if option.name in ("rng", "sampler_rng"):
        return value.lower()
    if option.kind in ("numbers", "choices", "names"):
        # one value is for all ControlNets
        values = [fold(each, option.choices) for each in value] if option.kind == "choices" else value
        values = [int(each) if each.isdecimal() and len(each) < 10 else each for each in values] if option.kind == "names" else values
        return values[0] if len(values) == 1 else values
    return tuple(value) if option.kind in ("pair", "factors") else value


def fold(value: str, choices: Iterable[str]) -> str:
    """Return the choice that a value is, whatever its capital letters; a value that is none as it is."""
    return next((choice for choice in choices if choice.casefold() == value.casefold()), value)


def input_files(arguments: argparse.Namespace) -> dict[str, tuple[Path, ...]]:
    """Return the files of the pictures and arrays that were given.

    Raises
    ------
    ConfigError : two where one is taken
    """
    files = {name: tuple(getattr(arguments, name) or ()) for name in FILE_OPTIONS}
    for name, paths in files.items():
        check_count(name, FILE_OPTIONS[name].flags[0], len(paths))
    return {name: paths for name, paths in files.items() if paths}


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

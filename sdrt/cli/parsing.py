"""The parser of the whole command line, and what a bare ``sdrt`` prints."""

import argparse
from typing import Any, NoReturn

from sdrt._version import __version__
from sdrt.cli import (
    batch,
    benchmark,
    compare,
    completion,
    console,
    download,
    generate,
    grid,
    inspect,
    listing,
    plug_ins,
    record,
    replay,
    upscale,
    verify,
)
from sdrt.cli.others import apple, sdcpp, swift
from sdrt.cli.process import EXIT_STATUS
from sdrt.printable import printable

__all__ = ["Parser", "build_parser"]

_WELCOME = (
    f"sdrt {__version__} draws pictures with Stable Diffusion; a small model, nano, is built in.",
    "",
    '  sdrt generate "a red circle on a blue background"   draw a picture into this folder',
    '  sdrt generate "..." --model FOLDER --steps 20       with a model of yours: a folder, a file or a name of the Hub',
    "  sdrt generate --from picture.png                    draw a picture again from the record inside it",
    "  sdrt batch jobs.jsonl -o pictures/                  draw many pictures, and go on where that was ended",
    '  sdrt grid "a {red|blue} circle" --y seed=1,2        draw every combination, and a labelled sheet of them',
    "  sdrt upscale picture.png --scale 2                  make a picture larger, by Lanczos or a network (--upscaler FILE)",
    "  sdrt inspect picture.png                            show that record; or what a Core ML package holds",
    '  sdrt record "..." -o run.sdrt                       record every network call and step; sdrt replay run.sdrt',
    '  sdrt compare numpy torch --prompt "..." --seed 93   say where two backends, models or recordings part',
    "  sdrt download OWNER/NAME -o models/                 download a model of the Hugging Face Hub into a folder",
    "  sdrt models | schedulers | backends                 list what there is to choose from",
    "  sdrt benchmark --model FOLDER                       time whole pictures on this machine",
    "  sdrt verify                                         check that this machine computes the same bytes as others",
    "  sdrt convert --model-version FOLDER --convert-unet  make Core ML packages of a model",
    "  sdrt apple | swift | sdcpp ...                      take other programs' command lines as they are typed",
    "'sdrt COMMAND --help' shows every option, and 'sdrt --help' every command.",
)


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments, as every other error is said; commands' parsers are of this class too."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog.partition(' ')[0]}: {printable(message)}; '{self.prog} --help' shows what it takes\n")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # older Pythons drop the first "--" even where it is an option's value, as in --prompt=--, and have an empty list instead
        if action.option_strings and arg_strings == ["--"] and action.nargs != 0:
            value = self._get_value(action, "--")
            self._check_value(action, value)
            return value if action.nargs in (None, "?") else [value]
        return super()._get_values(action, arg_strings)


def build_parser() -> argparse.ArgumentParser:
    """Build the whole command line's parser; each command's ``run`` takes the parsed namespace."""
    top: argparse.ArgumentParser = Parser(
        prog="sdrt", description="Stable Diffusion in plain numpy, on the backend of your choice.", epilog=EXIT_STATUS
    )
    top.add_argument("--version", action="version", version=f"sdrt {__version__}")
    top.add_argument("-v", "--verbose", action="store_true", help="report on standard error what is being done")
    top.set_defaults(run=lambda _: console.say(*_WELCOME))
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    for add in (
        generate.add_command,
        batch.add_command,
        grid.add_command,
        inspect.add_command,
        record.add_command,
        replay.add_command,
        compare.add_command,
        benchmark.add_command,
        upscale.add_command,
        download.add_command,
        verify.add_command,
        listing.add_commands,
        completion.add_command,
        apple.add_command,
        swift.add_command,
        sdcpp.add_command,
        plug_ins.add_commands,
    ):
        add(commands)
    _take_verbose(commands)
    return top


def _take_verbose(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Take ``-v`` behind each command, where people write it, too."""
    for command in commands.choices.values():
        if "-" in command.prefix_chars and "-v" not in command._option_string_actions:
            command.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        for inner in command._actions:
            if isinstance(inner, argparse._SubParsersAction):
                _take_verbose(inner)

"""The commands ``python -m converter`` and ``sdrt convert``.

Exit status: as of ``sdrt``, see `sdrt.cli`: 0 on success, 2 for an error (one line on standard error, with the fix), 130 after Ctrl-C, 143
when terminated.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from converter.arguments import add_arguments, parse_options
from converter.progress_bar import ProgressBar
from converter.tools import silence_resource_tracker
from sdrt._version import __version__
from sdrt.cli import run_program
from sdrt.cli.console import say
from sdrt.cli.downloads import Downloads
from sdrt.printable import printable

if TYPE_CHECKING:
    from converter.progress import ProgressUpdate
    from converter.report import Report

__all__ = ["add_command", "main", "parse_options", "parser", "run"]

_DESCRIPTION = "Convert a Stable Diffusion model for Core ML, on any system, and compare each result with its source."
_EXAMPLE = "example: {program} --model-version nano --convert-unet --convert-text-encoder --convert-vae-decoder -o nano-coreml"

_NAME_LENGTH = 60  # characters of a package's name in the progress bar


class _Parser(argparse.ArgumentParser):
    """Report a wrong argument in one line, as every other error."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"converter: {printable(message)}; 'python -m converter --help' lists the arguments\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m converter``, and return the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments without the program's name; None takes those of the process.
    """
    return run_program("converter", parser, argv)


def parser() -> argparse.ArgumentParser:
    """Make the parser of ``python -m converter``."""
    top = _Parser(prog="converter", description=_DESCRIPTION, epilog=_EXAMPLE.format(program="python -m converter"))
    top.add_argument("--version", action="version", version=f"sdrt {__version__}")
    top.add_argument("-v", "--verbose", action="store_true", help="report each step on standard error")
    add_arguments(top)
    top.set_defaults(**_DEFAULTS)
    return top


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``convert`` to sdrt's command line; this is the entry point in the group ``sdrt.commands``."""
    command = commands.add_parser(
        "convert", help="convert a model for Core ML", description=_DESCRIPTION, epilog=_EXAMPLE.format(program="sdrt convert")
    )
    add_arguments(command)
    command.set_defaults(**_DEFAULTS)


def run(arguments: argparse.Namespace) -> None:
    """Convert with a progress bar, then print what was made.

    Raises
    ------
    SdrtError : see `converter.conversion.convert`
    """
    options = parse_options(arguments)
    silence_resource_tracker()
    from converter.conversion import convert

    with Downloads(quiet=arguments.quiet) as downloads, ProgressBar(shown=not arguments.quiet) as bar:
        report = convert(replace(options, on_download=downloads), progress=partial(_show, bar))
    if not arguments.quiet:
        say(*_report_lines(report))


# What the runner of commands calls, and what it says of a conversion that a signal ends.
_DEFAULTS: dict[str, Any] = {"run": run, "kept": "finished packages are kept"}


def _show(bar: ProgressBar, update: "ProgressUpdate") -> None:
    name = printable(update.package or "all", _NAME_LENGTH)
    bar.show(f"{name}: {update.stage}{f' {update.detail}' if update.detail else ''}", update.done, update.total)


def _report_lines(report: "Report") -> list[str]:
    lines = []
    for outcome in report.outcomes:
        kept = " (kept: made with the same options)" if outcome.status == "kept" else ""
        lines += [f"{package}{kept}" for package in outcome.packages]
        for what, verification in outcome.verifications:
            lines += [f"  {what}:", *(f"    {line}" for line in verification.table().splitlines())]
        if outcome.unverified:
            lines.append(f"  not compared with its source: {outcome.unverified}")
    if report.resources is not None:
        lines.append(f"{report.resources}")
    return lines

"""The command line: arguments become one frozen record, the record one call.

Exit status: 0 when done, 2 for an error (one line on standard error that says what to do), 130 after Ctrl-C.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from sdrt._version import __version__
from sdrt.cli import benchmark, generate, inspect, listing, plug_ins
from sdrt.errors import SdrtError

__all__ = ["main", "parser"]


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments, as every other error is said; commands' parsers are of this class too."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"sdrt: {message}; '{self.prog} --help' shows what it takes\n")


def parser() -> argparse.ArgumentParser:
    """Build the whole command line's parser; each command's ``run`` takes the parsed namespace."""
    top: argparse.ArgumentParser = _Parser(prog="sdrt", description="Stable Diffusion in plain numpy, on the backend of your choice.")
    top.add_argument("--version", action="version", version=f"sdrt {__version__}")
    top.add_argument("-v", "--verbose", action="store_true", help="report on standard error what is being done")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (generate.add_command, inspect.add_command, benchmark.add_command, listing.add_commands, plug_ins.add_commands):
        add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments without the program's name; None takes the process's own.
    """
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.WARNING, format="sdrt: %(message)s")
    try:
        arguments.run(arguments)
    except SdrtError as error:
        print(f"sdrt: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sdrt: interrupted; pictures that were finished are kept", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader (head, less) went away; keep the interpreter from flushing into the closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0

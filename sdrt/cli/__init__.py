"""The command line: arguments become one frozen record, the record one call.

Exit status: 0 done; 1 done, but standard output could not be written, or what was compared is further apart than ``--fail-below``
allows; 2 an error, in one line on standard error that says what to do; 70 a fault of sdrt itself; 129, 130, 143 stopped by SIGHUP, Ctrl-C,
SIGTERM; 141 the reader of standard output went away, as ``head`` does, which ``generate`` says in a line after it has drawn all pictures.

This module imports nothing, so that from its first moment on a signal meets :func:`main`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["main", "parser", "run_program"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments without the program's name; None takes the process's own.
    """
    return run_program("sdrt", parser, argv)


def run_program(program: str, make_parser: Callable[[], "argparse.ArgumentParser"], argv: Sequence[str] | None = None) -> int:
    """Run the command line of a program; see `sdrt.cli.process.run_command`."""
    try:
        from sdrt.cli import signals

        # the process is this command's alone, unless somebody passes arguments
        with signals.handled(at_the_end="ignore" if argv is None else "restore"):
            from sdrt.cli.process import run_command

            return run_command(program, make_parser, argv)
    except KeyboardInterrupt as stop:
        # before signals are handled, or while that begins or ends
        import os
        from contextlib import suppress

        with suppress(OSError):
            os.write(2, f"{program}: {getattr(stop, 'word', 'interrupted')}\n".encode())
        return getattr(stop, "status", 130)


def parser() -> "argparse.ArgumentParser":
    """Build the whole command line's parser; each command's ``run`` takes the parsed namespace."""
    from sdrt.cli.parsing import build_parser

    return build_parser()

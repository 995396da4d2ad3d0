"""``sdrt completion``: the script that lets a shell complete sdrt's command line."""

import argparse

from sdrt.cli.completing import import_argcomplete
from sdrt.cli.console import say

__all__ = ["SHELLS", "add_command"]

SHELLS = ("bash", "zsh", "fish")

_ABOUT = (
    "Print a script that lets a shell complete the commands of sdrt, their flags, and the values of those: schedulers, models, files and "
    "others. At each Tab the shell asks sdrt itself. docs/command-line.md says where to put it."
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``completion`` to the command line."""
    command = commands.add_parser(
        "completion",
        help="print the script with which bash, zsh or fish completes this command line",
        description=_ABOUT,
        epilog='example: eval "$(sdrt completion bash)"',
    )
    command.add_argument("shell", choices=SHELLS, metavar="{bash,zsh,fish}", help="the shell")
    command.set_defaults(run=lambda arguments: run(arguments.shell))


def run(shell: str) -> None:
    """Print the script of a shell.

    Raises
    ------
    MissingExtraError : argcomplete is not installed
    """
    # without bash's own completion of files, which would come where a number or a prompt is meant
    script = import_argcomplete().shellcode(["sdrt"], shell=shell, complete_arguments=["-o", "nospace"])
    say(*script.strip("\n").split("\n"))

"""``sdrt apple``: the modules of Apple's Python package by their names, as ``python -m python_coreml_stable_diffusion.NAME`` runs them.

Source of the flags: apple/ml-stable-diffusion at e12202c.
"""

import argparse

from sdrt.cli import plug_ins
from sdrt.cli.others import apple_pipeline

__all__ = ["add_command"]

_EXAMPLE = (
    "example: python -m python_coreml_stable_diffusion.torch2coreml --convert-unet -o packages becomes "
    "sdrt apple torch2coreml --convert-unet -o packages"
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``apple`` to the command line, with a command for each of Apple's modules."""
    command = commands.add_parser(
        "apple",
        help="take the command lines of Apple's Python package as they are typed",
        description="Take the command lines of Apple's Python package as they are typed: 'sdrt apple' stands for "
        "'python -m python_coreml_stable_diffusion.', and everything after it stays.",
        epilog=_EXAMPLE,
    )
    modules = command.add_subparsers(title="modules", metavar="MODULE", required=True)
    apple_pipeline.add_command(modules)
    plug_ins.add_commands(modules, plug_ins.APPLE_GROUP)

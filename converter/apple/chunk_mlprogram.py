"""``sdrt apple chunk_mlprogram``: cut the package of a U-Net in two."""

import argparse

from sdrt.cli import signals
from sdrt.cli.console import say
from sdrt.cli.paths import a_path

__all__ = ["add_command"]


def add_command(modules: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``chunk_mlprogram`` to ``sdrt apple``; this is the entry point in the group ``sdrt.apple_commands``."""
    command = modules.add_parser(
        "chunk_mlprogram",
        help="cut the package of a U-Net in two",
        description="Cut the package of a U-Net in two of about the same size, compressed or not, whichever converter made it.",
        epilog="example: sdrt apple chunk_mlprogram --mlpackage-path packages/X_unet.mlpackage -o packages",
    )
    command.add_argument("--mlpackage-path", type=a_path, required=True, metavar="PACKAGE", help="the package to cut")
    command.add_argument("-o", type=a_path, required=True, metavar="DIR", help="the folder for the halves, which replace earlier ones")
    command.add_argument("--remove-original", action="store_true", help="remove the package, once the halves are whole and checked")
    command.add_argument("--check-output-correctness", action="store_true", help="run halves and package on the same inputs, and compare")
    command.add_argument("--merge-chunks-in-pipeline-model", action="store_true", help="put both halves into one package")
    command.set_defaults(run=_run, kept="the package is kept as it was")


def _run(arguments: argparse.Namespace) -> None:
    from converter.halving import halve
    from converter.tools import require_packages, silence_resource_tracker

    require_packages("coremltools")
    silence_resource_tracker()
    halves, verification = halve(
        arguments.mlpackage_path,
        arguments.o,
        merge=arguments.merge_chunks_in_pipeline_model,
        check=arguments.check_output_correctness,
        remove_original=arguments.remove_original,
        on_stage=lambda _: signals.check(),
    )
    say(*map(str, halves))
    if verification is not None:
        say(*(f"  {line}" for line in verification.table().splitlines()))

"""``sdrt apple torch2coreml``: the flags of ``sdrt convert``, and those that Apple's converter alone knows."""

import argparse

from converter.arguments import add_arguments
from converter.cli import run as convert
from sdrt.errors import ConfigError
from sdrt.log import log

__all__ = ["add_command"]

_log = log.getChild("converter")

_SD3 = (
    "Stable Diffusion 3 has a transformer (MMDiT) and a T5 encoder, which sdrt does not have; convert Stable Diffusion 1, 2 or XL, or this "
    "model with argmaxinc's DiffusionKit"
)
_SD3_SWITCHES = ("--sd3-version", "--convert-mmdit", "--include-t5")
_SD3_ADDRESSES = ("--text-encoder-t5-url", "--text-encoder-t5-config-url", "--text-encoder-t5-data-url")
_TOKENIZER_ADDRESSES = ("--text-encoder-vocabulary-url", "--text-encoder-merges-url")


def add_command(modules: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``torch2coreml`` to ``sdrt apple``; this is the entry point in the group ``sdrt.apple_commands``."""
    command = modules.add_parser(
        "torch2coreml",
        help="convert a model for Core ML",
        description="Convert a Stable Diffusion model for Core ML, on any system. Like Apple's converter, this command compares a package "
        "with its source only if asked to; 'sdrt convert' always does.",
        epilog="example: sdrt apple torch2coreml --convert-unet --convert-text-encoder --convert-vae-decoder -o packages",
    )
    add_arguments(command)
    group = command.add_argument_group("Apple's own")
    group.add_argument("--xl-version", action="store_true", help="accepted: Stable Diffusion XL is recognised by its files")
    for flag in _TOKENIZER_ADDRESSES:
        group.add_argument(flag, metavar="URL", help="accepted, and not fetched: the model's own vocabulary is used")
    for flag in _SD3_SWITCHES:
        group.add_argument(flag, action="store_true", help="refused: Stable Diffusion 3 cannot be converted here")
    for flag in _SD3_ADDRESSES:
        group.add_argument(flag, metavar="URL", help="refused, as the above")
    command.set_defaults(run=_run, kept="finished packages are kept", check_output_correctness=False)


def _run(arguments: argparse.Namespace) -> None:
    if wanted := _given(arguments, *_SD3_SWITCHES, *_SD3_ADDRESSES):
        raise ConfigError(f"{wanted[0]} must be left out: {_SD3}")
    if ignored := _given(arguments, *_TOKENIZER_ADDRESSES):
        _log.warning("%s: nothing is fetched; the packages get the model's own vocabulary and merges", " and ".join(ignored))
    convert(arguments)


def _given(arguments: argparse.Namespace, *flags: str) -> list[str]:
    return [flag for flag in flags if getattr(arguments, flag.removeprefix("--").replace("-", "_"))]

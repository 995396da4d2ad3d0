"""``sdrt apple activation_quantization`` and ``multilingual_projection``: modules that sdrt does not have."""

import argparse
from functools import partial
from typing import NoReturn

from sdrt.errors import ConfigError

__all__ = ["add_activation_quantization", "add_multilingual_projection"]

_ACTIVATIONS = (
    "activation_quantization must be run from Apple's own package, whose results run here: sdrt quantises weights, and no activations; for "
    "8 bits a weight pass --quantize-nbits 8 to sdrt apple torch2coreml, or --quantize-linear 8 to sdrt convert"
)
_MULTILINGUAL = (
    "multilingual_projection must be run from Apple's own package on a Mac: it feeds NLContextualEmbedding, a text model of Apple's "
    "systems, which sdrt cannot run; use a model whose own text encoder reads the language"
)


def add_activation_quantization(modules: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``activation_quantization``."""
    _add(modules, "activation_quantization", "refused: says what to do instead", _ACTIVATIONS)


def add_multilingual_projection(modules: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``multilingual_projection``."""
    _add(modules, "multilingual_projection", "refused: says what to do instead", _MULTILINGUAL)


def _add(modules: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, reason: str) -> None:
    # no argument is an option here: the answer is the same for all of them
    command = modules.add_parser(name, help=text, add_help=False, prefix_chars="\0")
    command.add_argument("rest", nargs="*")
    command.set_defaults(run=partial(_refuse, reason))


def _refuse(reason: str, _: argparse.Namespace) -> NoReturn:
    raise ConfigError(reason)

"""What the arguments of a command line may be, for the completion of shells.

At each Tab a shell starts the program with ``_ARGCOMPLETE`` set, and argcomplete reads what was typed from other variables. It is imported
for that alone.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

from sdrt.cli.opening import CHOICES
from sdrt.errors import MissingExtraError, SdrtError

__all__ = ["Completer", "add_completers", "answer_shell", "candidates_of", "import_argcomplete"]

Completer = Callable[[str], Iterable[str]]

# By the metavar; an argument of any other is written, and there is nothing to choose from.
_FILES = frozenset({"FILE", "PATH", "PACKAGE", "JOBS", "FILE[:STRENGTH]", "[TOKEN=]FILE"})
_FOLDERS = frozenset({"DIR", "FOLDER"})
_MODELS = frozenset({"MODEL", "VAE"})


def answer_shell(parser: argparse.ArgumentParser) -> None:
    """Write the completions that the shell asks for in the environment, and end the process.

    Raises
    ------
    MissingExtraError : argcomplete is not installed
    """
    add_completers(parser)
    import_argcomplete().autocomplete(parser, always_complete_options="long")


def import_argcomplete() -> ModuleType:
    """Return the module argcomplete.

    Raises
    ------
    MissingExtraError : it is not installed
    """
    try:
        import argcomplete
    except ImportError as error:
        raise MissingExtraError("completion needs argcomplete; install the extra: pip install 'sdrt[completion]'") from error
    return argcomplete


def add_completers(parser: argparse.ArgumentParser) -> None:
    """Give each argument of a parser and of its commands a completer where argparse's own choices do not say what it may be."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                add_completers(command)
        elif action.nargs != 0 and action.choices is None:
            candidates = candidates_of(action)
            action.completer = _adapted(candidates)  # type: ignore[attr-defined]


def _adapted(candidates: Completer) -> Callable[..., Iterable[str]]:
    """Return a completer as argcomplete calls it; whatever fails has no candidates."""

    def complete(prefix: str, **_: object) -> list[str]:
        try:
            return [each for each in candidates(prefix) if each.startswith(prefix)]
        except (SdrtError, OSError):
            return []

    return complete


def candidates_of(action: argparse.Action) -> Completer:
    """Return what an argument may be: a function of the beginning that was typed."""
    metavar = action.metavar
    if isinstance(metavar, str) and metavar.startswith("{"):
        return _fixed(metavar.strip("{}").split(","))
    if action.dest == "controlnet" and metavar == "NAME":
        # one of those among the packages
        return _fixed(())
    known = _BY_NAME.get(action.dest.removesuffix("_a").removesuffix("_b"))
    if known is not None and metavar not in _FOLDERS:
        return known
    if metavar in _FOLDERS:
        return folders
    if metavar in _FILES:
        return files
    return _models_and_files if metavar in _MODELS else _fixed(())


def _fixed(names: Iterable[str]) -> Completer:
    listed = tuple(names)
    return lambda _: listed


def files(prefix: str) -> Iterator[str]:
    """Yield the files and folders that begin so, folders with a slash; hidden ones where a dot is typed."""
    typed, _, name = prefix.rpartition("/")
    folder = f"{typed}/" if "/" in prefix else ""
    with os.scandir(Path(folder or ".").expanduser()) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith(name) and (name.startswith(".") or not entry.name.startswith(".")):
                yield f"{folder}{entry.name}{'/' if entry.is_dir() else ''}"


def folders(prefix: str) -> Iterator[str]:
    """Yield the folders that begin so."""
    return (each for each in files(prefix) if each.endswith("/"))


def _schedulers(prefix: str) -> Iterator[str]:
    """Yield names of schedulers; after a name and a space, also its forms with an ending, which chooses the noise levels."""
    from sdrt.schedulers.names import ENDINGS, names

    for row in names():
        yield row.name
        if prefix.startswith(f"{row.name} "):
            yield from (f"{row.name} {ending}" for ending in ENDINGS)


def _backends(_: str) -> Iterable[str]:
    from sdrt.backends import registry

    return registry.names()


def _compute_units(_: str) -> Iterable[str]:
    from sdrt.models.coreml.names import ComputeUnit

    return get_args(ComputeUnit)


def _streams(_: str) -> Iterable[str]:
    from sdrt import rng

    return rng.names()


def _embedded(*kinds: str) -> Iterator[str]:
    from sdrt.models.embedded import EMBEDDED

    return (each.name for each in EMBEDDED.values() if each.kind in kinds)


def _repositories(_: str) -> Iterable[str]:
    """Yield the repositories in the Hub's cache."""
    from sdrt.models.hub import HubAccess, cached_repositories

    return cached_repositories(HubAccess().cache)


def _models_and_files(prefix: str) -> Iterator[str]:
    yield from _embedded("model", "in-painting model")
    yield from _repositories(prefix)
    yield from files(prefix)


def _controlnets_and_files(prefix: str) -> Iterator[str]:
    yield from _embedded("ControlNet")
    yield from _repositories(prefix)
    yield from files(prefix)


def _hires_upscalers_and_files(prefix: str) -> Iterator[str]:
    from sdrt.pipeline.latent_resizing import LATENT_RESIZINGS

    yield from LATENT_RESIZINGS
    yield from _upscalers_and_files(prefix)


def _loras_and_files(prefix: str) -> Iterator[str]:
    yield from _embedded("LoRA")
    yield from files(prefix)


def _upscalers_and_files(prefix: str) -> Iterator[str]:
    from sdrt.upscaling import RESAMPLINGS

    yield from RESAMPLINGS
    yield from _embedded("upscaler")
    yield from _repositories(prefix)
    yield from files(prefix)


def _sides(prefix: str) -> Iterator[str]:
    """Yield what ``sdrt compare`` compares: backends, models and recordings."""
    yield from _backends(prefix)
    yield from _models_and_files(prefix)


# By the name of the argument, without the side of a comparison.
_BY_NAME: dict[str, Completer] = {
    **{name: _fixed(choices) for name, choices in CHOICES.items()},
    "a": _sides,
    "b": _sides,
    "backend": _backends,
    "compute_unit": _compute_units,
    "control_net": _controlnets_and_files,
    "control_type": _fixed(("openpose", "depth", "scribble", "canny", "normal", "segment", "tile", "repaint")),
    "controlnet": _controlnets_and_files,
    "hires_scheduler": _schedulers,
    "hires_upscaler": _hires_upscalers_and_files,
    "lora": _loras_and_files,
    "model": _models_and_files,
    "repository": _repositories,
    "rng": _streams,
    "sampler_rng": _streams,
    "scheduler": _schedulers,
    "upscaler": _upscalers_and_files,
    "variant": _fixed(("fp16",)),
}

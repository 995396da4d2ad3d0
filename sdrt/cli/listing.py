"""``sdrt backends``, ``sdrt schedulers`` and ``sdrt models``: what there is to choose from."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path

from sdrt.cli.console import say
from sdrt.cli.paths import a_path
from sdrt.errors import MissingExtraError, MissingFileError
from sdrt.files import is_folder
from sdrt.printable import printable

__all__ = ["add_commands"]

# Digits of a commit that people write.
_SHORT_COMMIT = 8


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the three lists to the command line."""
    lists: dict[str, tuple[Callable[[], Iterable[Sequence[str]]], str]] = {
        "backends": (_backends, "list the backends, and why one is not available here"),
        "schedulers": (_schedulers, "list the schedulers"),
    }
    for name, (rows, text) in lists.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.set_defaults(run=lambda _, rows=rows: _print_table(list(rows())))
    models = commands.add_parser(
        "models",
        help="list the embedded models, ControlNets and LoRAs, and what is in the Hub's cache",
        description="List the embedded models, ControlNets and LoRAs, and what is in the Hub's cache: each commit of a repository, what it "
        "is, what it takes on the disk, and when it was last used.",
    )
    models.add_argument("--cache-dir", type=a_path, metavar="DIR", help="the Hub's cache (default: the Hub client's own)")
    models.set_defaults(run=lambda arguments: _print_models(arguments.cache_dir))


def _backends() -> Iterable[Sequence[str]]:
    from sdrt.backends import registry

    yield ("name", "from", "here")
    for row in registry.status():
        yield (row.name, row.origin, "available" if row.problem is None else f"not available: {row.problem}")


def _schedulers() -> Iterable[Sequence[str]]:
    from sdrt import schedulers

    yield ("name", "class", "order", "draws noise", "about")
    for row in schedulers.names():
        yield (row.name, row.class_name, str(row.order), "yes" if row.stochastic else "no", row.about)


def _models() -> Iterable[Sequence[str]]:
    from sdrt import models

    yield ("name", "kind", "weights", "size", "steps", "guidance", "about")
    for each in models.EMBEDDED.values():
        own = models.open_model(each.base or each.name).defaults
        guidance = own["guidance_scale"] if each.guidance_scale is None else each.guidance_scale
        drawn = (f"{own['width']}x{own['height']}", str(own["num_inference_steps"]), f"{guidance:g}")
        yield (each.name, each.kind, f"{each.weight_bytes / 1e6:.1f} MB", *drawn, each.description)


def _print_models(cache_dir: Path | None) -> None:
    """Print the embedded models, and below them the cache's.

    Raises
    ------
    MissingFileError : the cache is named, and is not there
    """
    cache = _cache(cache_dir)
    _print_table(list(_models()))
    if cache is None:
        return
    cached = list(_cached(cache))
    say("", f"in the Hub's cache, {cache}:" if len(cached) > 1 else f"in the Hub's cache, {cache}: no models")
    if len(cached) > 1:
        _print_table(cached)


def _cache(cache_dir: Path | None) -> Path | None:
    """Return the cache's folder; None where none is named, and the client that would have one is not installed."""
    from sdrt.models.hub import HubAccess

    if cache_dir is not None and not is_folder(cache_dir):
        raise MissingFileError(f"{cache_dir}: no such folder; pass the Hub's cache as --cache-dir, or leave it out")
    try:
        return HubAccess(cache_dir=cache_dir).cache
    except MissingExtraError:
        return None


def _cached(cache: Path) -> Iterable[Sequence[str]]:
    from sdrt.models.hub import cached_models, in_words

    yield ("name", "revision", "kind", "on disk", "last used")
    for each in cached_models(cache):
        revision = " ".join([*each.revisions, each.commit[:_SHORT_COMMIT]]) or "-"
        kind = f"{each.kind}: {', '.join(each.variants)}" if each.variants else each.kind
        used = "-" if each.last_used is None else date.fromtimestamp(each.last_used).isoformat()
        yield (each.repo_id, revision, kind, in_words(each.size_bytes), used)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    say(*("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows))

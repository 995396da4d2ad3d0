"""``sdrt backends``, ``sdrt schedulers`` and ``sdrt models``: what there is to choose from, as tables or as JSON."""

import argparse
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sdrt.cli.console import say
from sdrt.cli.json_output import say_json
from sdrt.cli.paths import a_path
from sdrt.errors import MissingExtraError, MissingFileError
from sdrt.files import is_folder
from sdrt.printable import printable

__all__ = ["add_commands"]

# Digits of a commit that people write.
_SHORT_COMMIT = 8


@dataclasses.dataclass(frozen=True)
class _Listing:
    """A list of records, each of which is an object in JSON and a row of a table."""

    heads: tuple[str, ...]
    records: Callable[[], Iterable[Mapping[str, Any]]]
    row: Callable[[Mapping[str, Any]], Sequence[str]]

    def table(self) -> list[Sequence[str]]:
        return [self.heads, *map(self.row, self.records())]


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the three lists to the command line."""
    for name, listing, text in (
        ("backends", _BACKENDS, "list the backends, and why one is not available here"),
        ("schedulers", _SCHEDULERS, "list the schedulers"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("--json", action="store_true", help="print JSON in place of the table")
        command.set_defaults(run=lambda arguments, name=name, listing=listing: _print(name, listing, as_json=arguments.json))
    models = commands.add_parser(
        "models",
        help="list the embedded models, ControlNets and LoRAs, and what is in the Hub's cache",
        description="List the embedded models, ControlNets and LoRAs, and what is in the Hub's cache: each commit of a repository, what it "
        "is, what it takes on the disk, and when it was last used.",
    )
    models.add_argument("--cache-dir", type=a_path, metavar="DIR", help="the Hub's cache (default: the Hub client's own cache)")
    models.add_argument("--json", action="store_true", help="print JSON in place of the tables")
    models.set_defaults(run=lambda arguments: _print_models(arguments.cache_dir, as_json=arguments.json))


def _print(name: str, listing: _Listing, *, as_json: bool) -> None:
    if as_json:
        say_json({name: list(listing.records())})
    else:
        _print_table(listing.table())


def _print_models(cache_dir: Path | None, *, as_json: bool) -> None:
    """Print the embedded models, and below them the cache's.

    Raises
    ------
    MissingFileError : the cache is named, and is not there
    """
    cache = _cache(cache_dir)
    cached = None if cache is None else _cached(cache)
    if as_json:
        hub = None if cached is None else {"cache": str(cache), "models": list(cached.records())}
        say_json({"models": list(_MODELS.records()), "hub": hub})
        return
    _print_table(_MODELS.table())
    if cached is None:
        return
    rows = cached.table()
    say("", f"in the Hub's cache, {cache}:" if len(rows) > 1 else f"in the Hub's cache, {cache}: no models")
    if len(rows) > 1:
        _print_table(rows)


def _backends() -> Iterable[Mapping[str, Any]]:
    from sdrt.backends import registry

    for row in registry.status():
        yield {"name": row.name, "origin": row.origin, "available": row.problem is None, "problem": row.problem}


def _backend_row(record: Mapping[str, Any]) -> Sequence[str]:
    return (record["name"], record["origin"], "available" if record["available"] else f"not available: {record['problem']}")


def _schedulers() -> Iterable[Mapping[str, Any]]:
    from sdrt import schedulers

    for row in schedulers.names():
        yield {
            "name": row.name,
            "class": row.class_name,
            "order": row.order,
            "stochastic": row.stochastic,
            "aliases": list(row.aliases),
            "about": row.about,
        }


def _scheduler_row(record: Mapping[str, Any]) -> Sequence[str]:
    return (record["name"], record["class"], str(record["order"]), "yes" if record["stochastic"] else "no", record["about"])


def _models() -> Iterable[Mapping[str, Any]]:
    from sdrt import models

    for each in models.EMBEDDED.values():
        own = models.open_model(each.base or each.name).defaults
        yield {
            "name": each.name,
            "kind": each.kind,
            "weight_bytes": each.weight_bytes,
            "width": own["width"],
            "height": own["height"],
            "num_inference_steps": own["num_inference_steps"],
            "guidance_scale": own["guidance_scale"] if each.guidance_scale is None else each.guidance_scale,
            "about": each.description,
            "path": str(each.path),
        }


def _model_row(record: Mapping[str, Any]) -> Sequence[str]:
    drawn = (f"{record['width']}x{record['height']}", str(record["num_inference_steps"]), f"{record['guidance_scale']:g}")
    return (record["name"], record["kind"], f"{record['weight_bytes'] / 1e6:.1f} MB", *drawn, record["about"])


def _cache(cache_dir: Path | None) -> Path | None:
    """Return the cache's folder; None where none is named, and the client that would have one is not installed."""
    from sdrt.models.hub import HubAccess

    if cache_dir is not None and not is_folder(cache_dir):
        raise MissingFileError(f"{cache_dir}: no such folder; pass the Hub's cache as --cache-dir, or leave it out")
    try:
        return HubAccess(cache_dir=cache_dir).cache
    except MissingExtraError:
        return None


def _cached(cache: Path) -> _Listing:
    from sdrt.models.hub import cached_models

    def records() -> Iterable[Mapping[str, Any]]:
        for each in cached_models(cache):
            yield dataclasses.asdict(each) | {"path": str(each.path)}

    return _Listing(("name", "revision", "kind", "on disk", "last used"), records, _cached_row)


def _cached_row(record: Mapping[str, Any]) -> Sequence[str]:
    from sdrt.models.hub import in_words

    revision = " ".join([*record["revisions"], record["commit"][:_SHORT_COMMIT]]) or "-"
    kind = f"{record['kind']}: {', '.join(record['variants'])}" if record["variants"] else record["kind"]
    used = "-" if record["last_used"] is None else date.fromtimestamp(record["last_used"]).isoformat()
    return (record["repo_id"], revision, kind, in_words(record["size_bytes"]), used)


_BACKENDS = _Listing(("name", "from", "here"), _backends, _backend_row)
_SCHEDULERS = _Listing(("name", "class", "order", "draws noise", "about"), _schedulers, _scheduler_row)
_MODELS = _Listing(("name", "kind", "weights", "size", "steps", "guidance", "about"), _models, _model_row)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    say(*("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows))

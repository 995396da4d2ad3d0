"""``sdrt backends``, ``sdrt schedulers`` and ``sdrt models``: what there is to choose from."""

import argparse
from collections.abc import Callable, Iterable, Sequence

from sdrt.cli.console import say
from sdrt.printable import printable

__all__ = ["add_commands"]


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the three lists to the command line."""
    lists: dict[str, tuple[Callable[[], Iterable[Sequence[str]]], str]] = {
        "backends": (_backends, "list the backends, and why one is not available here"),
        "schedulers": (_schedulers, "list the schedulers"),
        "models": (_models, "list the embedded models, ControlNets and LoRAs"),
    }
    for name, (rows, text) in lists.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.set_defaults(run=lambda _, rows=rows: _print_table(list(rows())))


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


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    say(*("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows))

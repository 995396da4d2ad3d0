"""A comparison as a table for the terminal."""

import math
from collections.abc import Iterable, Sequence

from sdrt.compare.findings import CallRow, Findings, LayerRow, StepRow, TruthRow

__all__ = ["LAYER_HEADS", "NETWORK_HEADS", "TRUTH_HEADS", "decibels", "layer_cells", "network_rows", "table", "truth_cells", "verdict"]

NETWORK_HEADS = ("what", "calls", "worst at", "output", "error", "PSNR")
LAYER_HEADS = ("module", "of", "step", "error", "rounding explains", "")
TRUTH_HEADS = ("what", "step", "error of a", "error of b", "nearer")

# Steps that are shown of a longer run.
_SHOWN = 8


def table(comparison: Findings) -> str:
    """Return the lines that say what is apart, the verdict first."""
    each = comparison
    lines = [f"a: {_side(each.a)}", f"b: {_side(each.b)}", ""]
    lines += [verdict(each), *_pictures(each)]
    for row in each.inputs:
        if row.error:
            lines.append(f"{row.name}: differs by {row.error:.1e}")
    if not each.equal and each.steps:
        lines += ["", "each going its own way:"]
        lines += _aligned(
            ("step", "timestep", "latents max", "mean", "PSNR", "cosine", "ulps (median)", "x0 PSNR"), map(_step, _some(each.steps))
        )
    if each.networks and not (each.equal and not each.networks[0].forced):
        forced = any(row.forced for row in each.networks)
        lines += ["", "from the same inputs, the worst of each:" if forced else "networks, each on its own inputs, the worst of each:"]
        lines += _aligned(NETWORK_HEADS, network_rows(each.networks))
    if each.layers:
        lines += ["", "modules, each from the other side's values:"]
        rows = sorted(each.layers, key=lambda row: (not row.departs, -row.error / (row.allowed or 1.0)))
        lines += _aligned(LAYER_HEADS, map(layer_cells, rows[:_SHOWN]))
    if each.truth:
        lines += ["", "against numpy in float64:"]
        lines += _aligned(TRUTH_HEADS, map(truth_cells, _judged(each.truth)))
    return "\n".join(lines)


def _side(side: object) -> str:
    values = vars(side)
    kind = "recorded, " if values["recorded"] else ""
    return f"{values['name']} ({kind}{values['model']} on {values['backend']}, {values['precision']})"


def verdict(comparison: Findings) -> str:
    """Say in one line whether two runs are equal, and where they part."""
    if comparison.equal and comparison.first_departure is None:
        return "equal: the same numbers at each step"
    if comparison.first_departure is None:
        return "alike: nothing is beyond rounding"
    return f"they part at {comparison.first_departure}"


def _pictures(comparison: Findings) -> Iterable[str]:
    for row in comparison.pixels:
        name = f"picture {row.image}" if len(comparison.pixels) > 1 else "picture"
        yield f"{name}: {decibels(row.psnr)}, at most {row.max} of 255 apart, {row.different:.1%} of pixels differ"


def _some(rows: Sequence[StepRow]) -> list[StepRow]:
    """Return all of a few, or the first, the last and some between."""
    if len(rows) <= _SHOWN:
        return list(rows)
    places = sorted({round(k * (len(rows) - 1) / (_SHOWN - 1)) for k in range(_SHOWN)})
    return [rows[k] for k in places]


def _step(row: StepRow) -> tuple[str, ...]:
    apart = row.latents
    x0 = "" if row.x0 is None else decibels(row.x0.psnr)
    return (
        str(row.step),
        f"{row.timestep:g}",
        f"{apart.max:.1e}",
        f"{apart.mean:.1e}",
        decibels(apart.psnr),
        f"{apart.cosine:.9f}",
        str(apart.ulps.median),
        x0,
    )


def network_rows(rows: Sequence[CallRow]) -> Iterable[tuple[str, ...]]:
    """Yield cells for the worst call of each component."""
    for component in dict.fromkeys(row.component for row in rows):
        own = [row for row in rows if row.component == component]
        worst = max(own, key=lambda row: row.difference.relative)
        place = "" if worst.step is None else f"step {worst.step}"
        yield (component, str(len(own)), place, worst.output, f"{worst.difference.relative:.1e}", decibels(worst.difference.psnr))


def layer_cells(row: LayerRow) -> tuple[str, ...]:
    """Return a module as cells."""
    name = row.layer or "between its modules"
    if row.at == "input":
        name += f" (before {row.before.removeprefix(row.layer).lstrip('.')})"
    step = "" if row.step is None else str(row.step)
    return (name, row.component, step, f"{row.error:.1e}", f"{row.allowed:.1e}", "out of line" if row.departs else "")


def _judged(rows: Sequence[TruthRow]) -> list[TruthRow]:
    """Return the worst of each network, and the last of the latents."""
    shown = []
    for component in dict.fromkeys(row.component for row in rows):
        own = [row for row in rows if row.component == component]
        shown.append(own[-1] if component == "latents" else max(own, key=lambda row: max(row.a, row.b)))
    return shown


def truth_cells(row: TruthRow) -> tuple[str, ...]:
    """Return two errors against the truth as cells."""
    form = ".2f" if row.component == "pixels" else ".1e"
    return (row.component, "" if row.step is None else str(row.step), f"{row.a:{form}}", f"{row.b:{form}}", row.nearer)


def decibels(psnr: float) -> str:
    """Return a PSNR in words."""
    return "equal" if math.isinf(psnr) and psnr > 0 else f"{psnr:.1f} dB"


def _aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]

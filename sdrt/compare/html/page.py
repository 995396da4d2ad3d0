"""The page of a comparison."""

import json
import secrets
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.compare.findings import Findings, SideRecord
from sdrt.compare.html.pictures import picture_section
from sdrt.compare.html.plots import Line, bar_plot, line_plot
from sdrt.compare.html.style import SCRIPT, STYLE
from sdrt.compare.table import LAYER_HEADS, NETWORK_HEADS, TRUTH_HEADS, decibels, layer_cells, network_rows, truth_cells, verdict
from sdrt.errors import ConfigError
from sdrt.files import user_path

__all__ = ["page", "write_page"]


def write_page(findings: Findings, file: str | Path) -> Path:
    """Write the page, whole or not at all.

    Raises
    ------
    ConfigError : the file cannot be written
    """
    path = user_path("file", file)
    try:
        temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
        try:
            temporary.write_text(page(findings), encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else "no file can have this name"
        raise ConfigError(f"{path}: cannot be written ({reason}); choose another place") from None
    return path


def page(findings: Findings) -> str:
    """Return the page as HTML."""
    kind = "alike" if findings.first_departure is None else "parts"
    sections = [
        "<h1>Two runs side by side</h1>",
        f'<p class="verdict {kind}">{escape(verdict(findings))}</p>',
        f'<p class="sides"><b>a</b> {_side(findings.a)}<br><b>b</b> {_side(findings.b)}</p>',
    ]
    if findings.pictures:
        sections += ["<h2>Pictures</h2>", _pixels(findings)]
        sections += [picture_section(number, a, b) for number, (a, b) in enumerate(findings.pictures)]
    sections += ["<h2>Errors</h2>", f'<div class="grid-of-plots">{"".join(_plots(findings))}</div>']
    if findings.networks:
        forced = any(row.forced for row in findings.networks)
        title = "From the same inputs" if forced else "Networks, each on its own inputs"
        sections += [f"<h2>{title}</h2>", _table(NETWORK_HEADS, network_rows(findings.networks))]
    if findings.layers:
        ordered = sorted(findings.layers, key=lambda row: (not row.departs, -row.error / (row.allowed or 1.0)))
        sections += ["<h2>Modules, each from the other side's values</h2>"]
        sections += [_table(LAYER_HEADS, [layer_cells(row) for row in ordered], [row.departs for row in ordered])]
    if findings.truth:
        sections += ["<h2>Against numpy in float64</h2>", _table(TRUTH_HEADS, map(truth_cells, findings.truth))]
    sections += ["<h2>Settings</h2>", _table(("setting", "value"), _settings(findings.settings), long=True)]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(findings.a.name)} and {escape(findings.b.name)}</title><style>{STYLE}</style></head><body>"
        f"{''.join(sections)}<script>{SCRIPT}</script></body></html>\n"
    )


def _side(side: SideRecord) -> str:
    kind = "a recording of " if side.recorded else ""
    return escape(f"{side.name}: {kind}{side.model} on {side.backend}, {side.precision}")


def _pixels(findings: Findings) -> str:
    heads = ("picture", "PSNR", "largest difference", "mean difference", "different pixels")
    rows = [(str(row.image), decibels(row.psnr), f"{row.max} of 255", f"{row.mean:.4f}", f"{row.different:.2%}") for row in findings.pixels]
    return _table(heads, rows)


def _plots(findings: Findings) -> Iterable[str]:
    steps = findings.steps
    if steps:
        lines = [
            Line("latents, largest", [(row.step, row.latents.max) for row in steps]),
            Line("latents, mean", [(row.step, row.latents.mean) for row in steps]),
        ]
        if all(row.x0 is not None for row in steps):
            lines.append(Line("predicted x0, largest", [(row.step, row.x0.max) for row in steps if row.x0 is not None]))
        yield line_plot("Each going its own way: difference after each step", lines, "step", "difference")
    loop = [row for row in findings.networks if row.step is not None]
    if loop:
        names = dict.fromkeys(row.component for row in loop)
        lines = [Line(name, [(row.step or 0, row.difference.relative) for row in loop if row.component == name]) for name in names]
        forced = "from the same inputs" if loop[0].forced else "each on its own inputs"
        yield line_plot(f"Error of each call, {forced}", lines, "step", "relative error")
    if findings.networks:
        names = dict.fromkeys(row.component for row in findings.networks)
        worst = [max(row.difference.relative for row in findings.networks if row.component == name) for name in names]
        yield bar_plot("Largest error of each component", list(names), worst, "component", "relative error")
    judged = [row for row in findings.truth if row.component == "latents"]
    if judged:
        lines = [Line("a", [(row.step or 0, row.a) for row in judged]), Line("b", [(row.step or 0, row.b) for row in judged])]
        yield line_plot("Latents against numpy in float64", lines, "step", "relative error")
    if steps:
        counts = steps[-1].latents.ulps.counts
        yield bar_plot("Last latents: units in the last place", _ulp_names(len(counts)), counts, "units apart", "values")
    if findings.pictures:
        apart = np.concatenate([np.abs(a.astype(np.int16) - b).ravel() for a, b in findings.pictures])
        values = np.bincount(apart)[:65].tolist()
        yield bar_plot("Pixels: differences of colours", [str(k) for k in range(len(values))], values, "of 255", "colours")


def _ulp_names(count: int) -> list[str]:
    """Name the bins of `sdrt.metrics.Ulps`.

    >>> _ulp_names(6)
    ['0', '1', '2', '≤4', '≤8', '≤16']
    """
    return [str(k) if k < 3 else f"≤{_short(2 ** (k - 1))}" for k in range(count)]


def _short(number: int) -> str:
    for power, letter in ((30, "G"), (20, "M"), (10, "k")):
        if number >= 2**power:
            return f"{number >> power}{letter}"
    return str(number)


def _settings(settings: Any) -> Iterable[tuple[str, str]]:
    for name, value in settings.items():
        if value not in (None, {}, [], ""):
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], marked: Sequence[bool] = (), *, long: bool = False) -> str:
    kind = ' class="long"' if long else ""
    lines = []
    for number, row in enumerate(rows):
        mark = ' class="parts"' if number < len(marked) and marked[number] else ""
        lines.append(f"<tr{mark}>{''.join(f'<td{kind}>{escape(cell)}</td>' for cell in row)}</tr>")
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'

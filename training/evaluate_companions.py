"""Draw held-out cases with the companions of the embedded model, and judge them.

    python -m training.evaluate_companions --models sdrt/models --edges 100 --holes 100 --outlines 100 --json scores.json
    python -m training.evaluate_companions --models sdrt/models --runtime sdrt

Diffusers' own pipelines draw by default. Sheets show the first cases of each kind: with `--sheets DIR`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.companion_cases import EdgeCase, HoleCase, edge_cases, hole_cases
from training.companion_drawers import DRAWERS, Drawers
from training.evaluate import held_out_scenes
from training.judge import Picture, Verdict
from training.judge_companions import HoleVerdict, OutlineVerdict, judge_edges, judge_hole, judge_outlined

_COLUMNS = 10
_COLOURS = 255  # of a sheet's palette, which keeps the file small


def _percent(flags: Sequence[bool]) -> float:
    return round(100.0 * float(np.mean(flags)), 1)


def summary(verdicts: Sequence[Verdict | HoleVerdict | OutlineVerdict], groups: Sequence[str]) -> dict[str, Any]:
    """Return the percentage that is right in each aspect, overall, and overall in each group."""
    flat = []
    for verdict in verdicts:
        parts = asdict(verdict)
        flat.append({**parts, **parts.pop("scene", {}), "all": verdict.all})
        flat[-1].pop("scene", None)
    aspects = {aspect: _percent([parts[aspect] for parts in flat]) for aspect in flat[0]}
    by_group = {
        group: _percent([verdict.all for verdict, own in zip(verdicts, groups, strict=True) if own == group])
        for group in sorted(set(groups))
    }
    return {"right": aspects, "by kind": by_group}


def _sheet(columns: list[list[Picture]], to: Path) -> None:
    """Write a sheet: each case is a column of pictures."""
    cells = [np.vstack(column) for column in columns]
    rows = [np.hstack(cells[start : start + _COLUMNS]) for start in range(0, len(cells) - len(cells) % _COLUMNS, _COLUMNS)]
    to.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).quantize(_COLOURS, dither=Image.Dither.NONE).save(to)


def _failures(verdicts: Sequence[Any], groups: Sequence[str], prompts: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"number": number, "kind": group, "prompt": prompt, "verdict": asdict(verdict)}
        for number, (verdict, group, prompt) in enumerate(zip(verdicts, groups, prompts, strict=True))
        if not verdict.all
    ]


def _evaluate_edges(drawers: Drawers, count: int, seed: int, sheets: Path | None, *, bare_pairs: bool = False) -> dict[str, Any]:
    cases: list[EdgeCase] = edge_cases(count, seed, bare_pairs=bare_pairs)
    pictures = drawers.edges([(case.prompt, case.edges, seed + number) for number, case in enumerate(cases)])
    verdicts = [judge_edges(picture, case) for picture, case in zip(pictures, cases, strict=True)]
    named = {True: "shape named", False: "colours alone"}
    groups = [f"{len(case.scene.items)} of {case.source}, {named[case.names_shape]}" for case in cases]
    if sheets:
        _sheet(
            [[np.repeat(c.edges[..., None], 3, 2), p] for c, p in zip(cases, pictures, strict=True)],
            sheets / ("bare_pairs.png" if bare_pairs else "edges.png"),
        )
    return {**summary(verdicts, groups), "failures": _failures(verdicts, groups, [case.prompt for case in cases])}


def _evaluate_holes(drawers: Drawers, count: int, seed: int, sheets: Path | None) -> dict[str, Any]:
    cases: list[HoleCase] = hole_cases(count, seed)
    pictures = drawers.holes([(case.prompt, case.original, case.mask, seed + number) for number, case in enumerate(cases)])
    verdicts = [judge_hole(picture, case) for picture, case in zip(pictures, cases, strict=True)]
    groups = [case.kind for case in cases]
    if sheets:
        hidden = [np.where(case.mask[..., None], np.uint8(128), case.original) for case in cases]
        _sheet([[c.original, h, p] for c, h, p in zip(cases, hidden, pictures, strict=True)], sheets / "holes.png")
    return {**summary(verdicts, groups), "failures": _failures(verdicts, groups, [case.prompt for case in cases])}


def _evaluate_outlines(drawers: Drawers, count: int, seed: int, sheets: Path | None) -> dict[str, Any]:
    cases = held_out_scenes(count, pairs=False, seed=seed)
    asked = [(prompt, seed + number) for number, (_, prompt) in enumerate(cases)]
    report: dict[str, Any] = {}
    drawn = {}
    for kind, draw in (("with", drawers.outlined), ("without", drawers.plain)):
        pictures = drawn[kind] = draw(asked)
        verdicts = [judge_outlined(picture, scene) for picture, (scene, _) in zip(pictures, cases, strict=True)]
        report[kind] = summary(verdicts, [kind] * len(cases))
        if kind == "with":
            report["failures"] = _failures(verdicts, [kind] * len(cases), [prompt for _, prompt in cases])
    if sheets:
        _sheet([[a, b] for a, b in zip(drawn["without"], drawn["with"], strict=True)], sheets / "outlines.png")
    return report


_PARTS: Mapping[str, Callable[[Drawers, int, int, Path | None], dict[str, Any]]] = {
    "edges": _evaluate_edges,
    "bare_pairs": partial(_evaluate_edges, bare_pairs=True),
    "holes": _evaluate_holes,
    "outlines": _evaluate_outlines,
}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder that holds nano and its companions")
    for part in _PARTS:
        parser.add_argument(f"--{part.replace('_', '-')}", type=int, default=0, help="cases")
    parser.add_argument("--runtime", choices=sorted(DRAWERS), default="diffusers")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1000, help="chooses the cases, and is the first picture's seed")
    parser.add_argument("--sheets", type=Path, help="folder for sheets of pictures")
    parser.add_argument("--json", type=Path, help="file for the full report")
    options = parser.parse_args()
    drawers = DRAWERS[options.runtime](options.models, options.steps, options.guidance)
    report: dict[str, Any] = {"runtime": options.runtime, "steps": options.steps, "guidance": options.guidance, "seed": options.seed}
    for part, evaluate in _PARTS.items():
        if count := getattr(options, part):
            began = time.monotonic()
            result = report[part] = evaluate(drawers, count, options.seed, options.sheets)
            shown = {name: value for name, value in result.items() if name != "failures"}
            print(f"{part}, {options.runtime}, {count} cases, {time.monotonic() - began:.0f} s:", json.dumps(shown), flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

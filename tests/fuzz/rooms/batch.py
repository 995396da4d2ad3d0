"""Files of jobs, axes of grids and manifests that others wrote."""

from pathlib import Path
from typing import Any

from sdrt.batch import Job, RowError, parse_axis, plan_grid, read_jobs
from sdrt.batch.manifest import append_line, read_manifest
from sdrt.batch.values import OPTION_NAMES
from tests.fuzz.damage import damaged, dump
from tests.fuzz.drawing import Draw
from tests.fuzz.rooms.pipeline import DECLARED, GOOD
from tests.fuzz.values import HOSTILE_TEXTS, ascii_of, json_value, wrong_kinds

_NAMES = ("prompt", "negative_prompt", "name", "seed", "num_inference_steps", "guidance_scale", "original_size", "mask_image", "compat")
_CELLS = ("a red circle", "5", "1 2", "512x768", "0.5", "true", '"', "a\nb", "=1", "-1", *HOSTILE_TEXTS)


def jobs(draw: Draw) -> str | None:
    """``read_jobs``: JSON lines with hostile rows, tables with hostile cells, and damaged bytes of both."""
    table = draw.chance(0.4)
    file = draw.place / ("jobs.csv" if table else "jobs.jsonl")
    if table:
        names = draw.some(_NAMES, 5)
        rows = [",".join(names), *(",".join(draw.choice(_CELLS) for _ in names) for _ in range(3))]
        data = "\n".join(rows).encode("utf-8", "replace")
    else:
        lines = [{"prompt": "a"}, {name: json_value(draw) if draw.chance(0.5) else "a" for name in draw.some(_NAMES, 4)}, json_value(draw)]
        if draw.chance(0.3):
            lines.insert(0, {"defaults": draw.choice(({"seed": 1}, json_value(draw)))})
        data = b"\n".join(dump(line).replace(b"\n", b" ") for line in lines)
    if draw.chance(0.4):
        data = damaged(draw, data, 64)
    draw.note(ascii_of(data[:300]))
    file.write_bytes(data)
    for job in read_jobs(file):
        if isinstance(job, RowError):
            if "\n" in job.error:
                return f"an error of several lines: {job.error!r}"
            continue
        if wrong := wrong_kinds({**job.options, "prompt": job.prompt, "negative_prompt": job.negative_prompt}, DECLARED):
            return wrong
    return None


def axes(draw: Draw) -> str | None:
    """``parse_axis`` and ``plan_grid``."""
    names = draw.some((*OPTION_NAMES, "prompt", "replace", "unknown", ""), 3)
    texts = [
        f"{name}{draw.choice(('=', '', '==', '= '))}{','.join(draw.choice(_CELLS) for _ in range(draw.randint(0, 3)))}" for name in names
    ]
    prompt = draw.choice(("a {red|blue} b", "a|b|c", "{", "{|}", "|" * 30, *HOSTILE_TEXTS))
    options: dict[str, Any] = {name: GOOD[name] for name in draw.some(("seed", "num_images", "negative_prompt"), 2)}
    draw.note(f"{ascii_of(texts)}, {ascii_of(prompt)}")
    grid = plan_grid(prompt, options, [parse_axis(text) for text in texts], matrix=draw.chance(0.3), folder=Path())
    places = len(grid.columns) * len(grid.rows) * len(grid.sheets)
    return None if len(grid.jobs) == places and all(isinstance(job, Job) for job in grid.jobs) else f"{len(grid.jobs)} jobs of {places}"


def manifests(draw: Draw) -> str | None:
    """A manifest that was cut off or written over."""
    for row in range(3):
        append_line(draw.place, {"row": row})
    file = draw.place / "manifest.jsonl"
    file.write_bytes(damaged(draw, file.read_bytes(), 64))
    before = read_manifest(draw.place)
    append_line(draw.place, {"row": 3})
    return None if read_manifest(draw.place)[:-1] == before else "lines are lost"


GENERATORS = {"batch-jobs": jobs, "batch-axes": axes, "batch-manifest": manifests}

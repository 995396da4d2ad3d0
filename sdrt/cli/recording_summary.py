"""What ``sdrt inspect`` says of a recording."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdrt.recordings import Recording

__all__ = ["summary", "summary_lines"]


def summary(recording: "Recording") -> dict[str, Any]:
    """Return a recording's header without its configurations, and what each run is, as JSON."""
    header = {name: value for name, value in recording.header.items() if name not in ("model", "refiner", "controlnets")}
    return header | {"lost": recording.lost, "runs": [_run(recording, run) for run in recording.runs]}


def summary_lines(recording: "Recording", file: Path) -> list[str]:
    """Return the same in words, a line for the file and one for each run."""
    about = summary(recording)
    by = about["writer"] if isinstance(about.get("writer"), dict) else {}
    writer = f"{by.get('name', 'unknown')} {by.get('version', '')}".strip()
    size = file.stat().st_size / 1e6
    lines = [f"{file}: recording, version {about['version']}, keep={about.get('keep')}, written by {writer}, {size:.1f} MB"]
    for number, run in enumerate(about["runs"]):
        calls = ", ".join(f"{name} {count}" for name, count in run["calls"].items())
        lines.append(f"run {number}: {run['outcome']}, {run['steps']} steps, calls: {calls or 'none'}")
        lines += [f"  {name}: {value}" for name, value in run["settings"].items()]
    return lines


def _run(recording: "Recording", run: int) -> dict[str, Any]:
    calls = Counter(str(event.component) for event in recording.events(run, "network"))
    begin = next(iter(recording.events(run, "begin")), None)
    record = begin.values.get("settings") if begin is not None else None
    known = record if isinstance(record, dict) else {}
    shown = {name: known[name] for name in ("prompt", "negative_prompt", "seed", "scheduler", "model", "backend") if name in known}
    return {"outcome": recording.outcome(run), "steps": len(recording.events(run, "step")), "calls": dict(calls), "settings": shown}

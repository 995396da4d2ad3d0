"""The parts shared by all benchmarks: the clock, the machine's description, and the JSON file."""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdrt.benchmarking.machine import machine as this_machine

__all__ = ["machine", "main", "timed", "write"]


def timed(run: Callable[[], object], repeats: int, warm_up: int = 1) -> dict[str, float]:
    """Return wall seconds of a call: minimum and median of ``repeats``, after ``warm_up`` calls that are not measured."""
    for _ in range(warm_up):
        run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {"min": min(seconds), "median": statistics.median(seconds)}


def machine() -> dict[str, Any]:
    """Return the machine and the versions, as `sdrt benchmark` does, and the measured commit."""
    return {**this_machine(), "commit": _commit()}


def write(path: Path, name: str, results: Mapping[str, Any]) -> None:
    """Write one benchmark's results as JSON, under a temporary name that is then renamed."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps({"benchmark": name, "machine": machine(), "results": results}, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def main(name: str, measure: Callable[[], Mapping[str, Any]]) -> None:
    """Run a benchmark's command line: measure, print, and write to ``--out``."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    out: Path | None = parser.parse_args().out
    results = measure()
    print(json.dumps({"machine": machine(), "results": results}, indent=2))
    if out is not None:
        write(out, name, results)


def _commit() -> str | None:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip() or None

"""What every benchmark shares: the clock, the machine's description, and the JSON file."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["machine", "main", "timed", "write"]

_PACKAGES = ("sdrt", "numpy", "torch", "diffusers", "transformers", "tokenizers", "openvino", "coremltools")


def timed(run: Callable[[], object], repeats: int, warm_up: int = 1) -> dict[str, float]:
    """Wall seconds of a call: minimum and median of ``repeats``, after ``warm_up`` calls that do not count."""
    for _ in range(warm_up):
        run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {"min": min(seconds), "median": statistics.median(seconds)}


def machine() -> dict[str, Any]:
    """Processor, cores, Python, commit, and the version of every package that takes part."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "commit": _commit(),
    }


def write(path: Path, name: str, results: Mapping[str, Any]) -> None:
    """Write one benchmark's results as JSON, under a temporary name that is then renamed."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps({"benchmark": name, "machine": machine(), "results": results}, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def main(name: str, measure: Callable[[], Mapping[str, Any]]) -> None:
    """A benchmark's command line: measure, print, and write where ``--out`` says."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    out: Path | None = parser.parse_args().out
    results = measure()
    print(json.dumps({"machine": machine(), "results": results}, indent=2))
    if out is not None:
        write(out, name, results)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip() or None

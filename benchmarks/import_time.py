"""What `import sdrt` costs above `import numpy`, and what a first picture costs: fresh interpreters, one after the other."""

import subprocess
import sys
from functools import partial
from typing import Any

from benchmarks import report

_PROGRAMS = {
    "import numpy": "import numpy",
    "import sdrt": "import sdrt",
    "import sdrt, load and tokenizer": "import sdrt; sdrt.load('nano').tokenizer",
    "first picture, 20 steps": "import sdrt; sdrt.load('nano').generate('a red circle on a blue background', seed=93)",
}

# Peak resident memory of the program, in the unit of the platform's getrusage (KiB on Linux, bytes on macOS).
_PEAK = "; import resource, sys; sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"


def run(program: str) -> int:
    """Run a program in a fresh interpreter; returns its peak memory in bytes."""
    done = subprocess.run([sys.executable, "-c", program + _PEAK], check=True, capture_output=True, text=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


def _note_peak(program: str, peaks: list[int]) -> None:
    peaks.append(run(program))


def measure(repeats: int = 9) -> dict[str, Any]:
    """Seconds and peak memory of each program, and the difference that an import of sdrt makes."""
    results: dict[str, Any] = {}
    for name, program in _PROGRAMS.items():
        peaks: list[int] = []
        seconds = report.timed(partial(_note_peak, program, peaks), repeats)
        results[name] = {"seconds": seconds, "peak_bytes": max(peaks)}
    above = results["import sdrt"]["seconds"]["median"] - results["import numpy"]["seconds"]["median"]
    results["import sdrt above numpy, seconds (aim 0.060)"] = above
    return results


if __name__ == "__main__":
    report.main("import_time", measure)

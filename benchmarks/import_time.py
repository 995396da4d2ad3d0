"""Time of `import sdrt` above `import numpy`, and of a first picture, each in a fresh interpreter, one after the other."""

import subprocess
import sys
from functools import partial
from typing import Any

from benchmarks import report

_PROGRAMS = {
    "import numpy": "import numpy",
    "import numpy, sdrt": "import numpy, sdrt",
    "import sdrt and all that load needs": "import sdrt; sdrt.load",
    "CLIP's vocabulary": "import sdrt; sdrt.tokenizer.ClipTokenizer.clip().encode('a cat')",
    "first picture, 20 steps": "import sdrt; sdrt.load('nano').generate('a red circle on a blue background', seed=93)",
}

# Peak resident memory of the program, in the unit of the platform's getrusage (KiB on Linux, bytes on macOS).
_PEAK = "; import resource, sys; sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"


def run(program: str) -> int:
    """Run a program in a fresh interpreter, and return its peak memory in bytes."""
    done = subprocess.run([sys.executable, "-c", program + _PEAK], check=True, capture_output=True, text=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


def _note_peak(program: str, peaks: list[int]) -> None:
    peaks.append(run(program))


def measure(repeats: int = 9) -> dict[str, Any]:
    """Measure seconds and peak memory of each program, and the difference to `import numpy` (aim for `import sdrt`: 0.060 s)."""
    results: dict[str, Any] = {}
    for name, program in _PROGRAMS.items():
        peaks: list[int] = []
        seconds = report.timed(partial(_note_peak, program, peaks), repeats)
        results[name] = {"seconds": seconds, "peak_bytes": max(peaks)}
    numpy_alone = results["import numpy"]["seconds"]["median"]
    results["seconds above import numpy"] = {name: row["seconds"]["median"] - numpy_alone for name, row in results.items()}
    return results


if __name__ == "__main__":
    report.main("import_time", measure)

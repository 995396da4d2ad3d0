"""The command line as a process of its own, for tests of streams and signals."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


def start(*argv: str, cwd: Path, module: str = "sdrt", env: dict[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
    """Start ``python -m sdrt``; errors of reading its output never hide what it wrote."""
    # buffered as by default: what is left in a buffer fails once more when Python ends
    own = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), "PYTHONUNBUFFERED": ""}
    environment = os.environ | own | (env or {})
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen(
        [sys.executable, "-m", module, *argv], cwd=cwd, env=environment, text=True, encoding="utf-8", errors="backslashreplace", **pipes
    )


def run(*argv: str, cwd: Path, **more: Any) -> tuple[int, str, str]:
    """Run it to its end: status, output and errors; empty where they went elsewhere."""
    with start(*argv, cwd=cwd, **more) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out or "", err or ""

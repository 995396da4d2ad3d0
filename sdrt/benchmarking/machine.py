"""The machine and the versions that figures belong to, and how much memory a process has held."""

import gc
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sdrt._version import __version__
from sdrt.host import processor_name, usable_cores

__all__ = ["machine", "peak_memory_mib", "reset_peak_memory"]

_PACKAGES = ("numpy", "torch", "diffusers", "transformers", "tokenizers", "openvino", "coremltools")
_STATUS, _REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def machine() -> dict[str, Any]:
    """Processor, cores, system, Python, and the version of every package that may take part."""
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {"sdrt": __version__} | {name: found for name in _PACKAGES if (found := _version(name))},
    }


def reset_peak_memory() -> bool:
    """Let the peak of this process start from here; False where the system cannot (all but Linux)."""
    gc.collect()
    try:
        _REFERENCES.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_memory_mib() -> float | None:
    """Return the largest resident set since the last reset (MiB), or None where the system does not tell."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM")), None)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

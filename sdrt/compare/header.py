"""What a recording says of itself: who wrote it, on which machine, with which models."""

import platform
import sys
from typing import Any

import numpy as np

from sdrt._version import __version__
from sdrt.host import processor_name, usable_cores

__all__ = ["machine", "writer"]

# Those whose version counts if the process has imported them.
_PACKAGES = ("torch", "diffusers", "transformers", "openvino", "coremltools")


def writer() -> dict[str, Any]:
    """Return the program that writes."""
    return {"name": "sdrt", "version": __version__}


def machine() -> dict[str, Any]:
    """Return processor, cores, system, and the versions of the packages that can take part in a run."""
    imported = {name: sys.modules[name] for name in _PACKAGES if name in sys.modules}
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {"numpy": np.__version__} | {name: str(getattr(module, "__version__", "?")) for name, module in imported.items()},
    }

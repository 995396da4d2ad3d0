"""The plug-in's own options."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sdrt.backends import BackendOptions
from sdrt.errors import ConfigError
from sdrt.files import user_path
from sdrt.values import Choice, FilePath, Kind, Nullable, Text, read_values

__all__ = ["OpenVinoOptions"]

# OpenVINO's own names of what it may round products to.
_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}

_KINDS: Mapping[str, Kind[Any]] = {
    "device": Nullable(Text(100, empty=False)),
    "dtype": Nullable(Choice(*_HINTS)),
    "cache_dir": Nullable(FilePath()),
}


@dataclass(frozen=True, kw_only=True)
class OpenVinoOptions:
    """How a network is to run.

    Parameters
    ----------
    device : str
        OpenVINO's name of it: CPU, GPU, NPU, AUTO.
    hint : str
        What products may be rounded to.
    cache : Path or None
        Where compiled models are kept between runs; None keeps none.
    threads : int or None
    """

    device: str
    hint: str
    cache: Path | None
    threads: int | None

    @classmethod
    def read(cls, options: BackendOptions) -> Self:
        """Settle what was left open.

        Raises
        ------
        ConfigError : float64, a dtype that OpenVINO has no hint for, or a value of another kind
        """
        if options.numerics != "float32":
            others = "'numpy' or 'torch'" if options.numerics == "float64" else "'numpy'"
            raise ConfigError(f"the openvino backend computes in float32 or less; for numerics={options.numerics!r} take backend {others}")
        own = read_values("", options.extra, _KINDS, "choose one of those")
        folder = own.get("cache_dir", _user_cache())
        return cls(
            device=(own.get("device") or "CPU").upper(),
            hint=_HINTS[own.get("dtype") or "float32"],
            cache=None if folder is None else user_path("cache_dir", folder),
            threads=options.threads,
        )

    def properties(self) -> dict[str, str | int]:
        """Return the options in OpenVINO's terms."""
        own: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": self.hint, "PERFORMANCE_HINT": "LATENCY"}
        return own if self.threads is None else own | {"INFERENCE_NUM_THREADS": self.threads}


def _user_cache() -> Path:
    """Where this system keeps what can be made again."""
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        root = "~/Library/Caches"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "sdrt" / "openvino"

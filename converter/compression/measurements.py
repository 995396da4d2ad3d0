"""Measurements that took long, kept in a file so that a second run goes on where the first one ended."""

import json
import math
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from sdrt.errors import ModelError

__all__ = ["Measurements"]


class Measurements:
    """PSNR in dB by what was measured.

    Parameters
    ----------
    path : Path or None
        A JSON file, made if it is not there; None keeps nothing. It may hold several models.
    model : str
        What the measurements depend on besides their own keys: program, all weights, inputs. The file's others are left alone.

    Raises
    ------
    ModelError : the file is there and is none of this kind
    """

    def __init__(self, path: Path | None, model: str) -> None:
        self._path = path
        self._file: dict[str, dict[str, float]] = _read(path) if path is not None and path.exists() else {}
        self._own = self._file.setdefault(model, {})

    def __contains__(self, key: str) -> bool:
        return key in self._own

    def get(self, key: str, measure: Callable[[], float]) -> float:
        """What was measured under this key; measured now, and written at once, if it was not."""
        if key not in self._own:
            self._own[key] = measure()
            self._write()
        return self._own[key]

    def _write(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.part")
        try:
            with temporary.open("x", encoding="utf-8") as stream:
                json.dump({"format": 1, "models": self._file}, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] == 1:
            models = {str(model): {str(key): float(value) for key, value in kept.items()} for model, kept in found["models"].items()}
            if all(math.isfinite(value) for kept in models.values() for value in kept.values()):
                return models
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ModelError(f"{path}: holds no measurements that can be read; give another file, or delete this one to measure again")

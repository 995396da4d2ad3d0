"""Store long measurements in a file, so that an interrupted run continues where it ended."""

import json
import math
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from sdrt.errors import ModelError

__all__ = ["Measurements"]


class Measurements:
    """Measured PSNRs in dB, by key.

    Parameters
    ----------
    path : Path or None
        A JSON file, created if missing; None stores nothing. It may hold several models.
    model : str
        Everything that the measurements depend on besides their keys: program, all weights, inputs. Entries of other models are kept.

    Raises
    ------
    ModelError : the file is not one of measurements
    """

    def __init__(self, path: Path | None, model: str) -> None:
        self._path = path
        self._file: dict[str, dict[str, float]] = _read(path) if path is not None and path.exists() else {}
        self._own = self._file.setdefault(model, {})

    def __contains__(self, key: str) -> bool:
        return key in self._own

    def get(self, key: str, measure: Callable[[], float]) -> float:
        """Return the measurement with this key; if missing, measure it and write it at once."""
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
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] == 1:
            models = {str(model): {str(key): float(value) for key, value in kept.items()} for model, kept in content["models"].items()}
            if all(math.isfinite(value) for kept in models.values() for value in kept.values()):
                return models
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ModelError(f"{path}: must hold measurements, got something else; choose another file, or delete this one to measure again")

"""Read from a model of Core ML packages how its attention is written out, which decides how fast it is."""

from pathlib import Path

from sdrt.backends.coreml import describe

__all__ = ["attention_of"]

_KEY = "sdrt.attention"


def attention_of(model: str) -> str | None:
    """Return how attention is written out in the Core ML packages of a folder, where their metadata say."""
    folder = Path(model)
    packages = [each for ending in ("mlpackage", "mlmodelc") for each in sorted(folder.rglob(f"*.{ending}"))] if folder.is_dir() else []
    for package in packages:
        if found := describe(package).user_defined.get(_KEY):
            return found
    return None

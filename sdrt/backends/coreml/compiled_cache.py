"""What Core ML compiles, kept between runs: a package takes minutes to compile, and nothing else remembers it."""

import hashlib
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["cache_folder", "compiled", "content_key"]

_BLOCK = 1 << 22  # bytes read at once


def cache_folder() -> Path:
    """Where compiled models are kept: ``SDRT_CACHE`` if it is set, else the user's own cache folder."""
    if folder := os.environ.get("SDRT_CACHE"):
        return Path(folder) / "coreml"
    return Path.home() / "Library" / "Caches" / "sdrt" / "coreml"


def content_key(path: Path) -> str:
    """Compute the SHA-256 of a package's files and their names: a package that is converted again has another."""
    hasher = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        hasher.update(f"{file.relative_to(path).as_posix()} {file.stat().st_size}\n".encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                hasher.update(block)
    return hasher.hexdigest()


def compiled(path: Path, ct: Any) -> Path:
    """Return the compiled form of a package, from the cache or made now.

    Parameters
    ----------
    path : Path
    ct : module
        coremltools.
    """
    # another system compiles for other hardware
    key = hashlib.sha256(f"{content_key(path)} {platform.platform()} {ct.__version__}".encode()).hexdigest()[:32]
    place = cache_folder() / f"{key}.mlmodelc"
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        made = Path(ct.models.utils.compile_model(str(path), str(Path(folder) / "model.mlmodelc")))
        try:
            made.rename(place)
        except OSError:
            # another process was faster, and its result is the same
            if not place.is_dir():
                raise
    return place

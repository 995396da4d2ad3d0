"""Paths that a package's files name: they stay inside it."""

from pathlib import Path, PurePosixPath

from sdrt.errors import ModelError
from sdrt.printable import shown

__all__ = ["inside"]


def inside(root: Path, name: str, what: str) -> Path:
    """Return ``root / name`` for a name that stays below ``root``. Links are followed: the Hub's cache is made of them.

    Raises
    ------
    ModelError : the name is absolute, or climbs out

    >>> inside(Path("a.mlpackage"), "weights/weight.bin", "it").as_posix()
    'a.mlpackage/weights/weight.bin'
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0] or "\0" in name:
        raise ModelError(f"{what} must be a path inside the package, got {shown(name)}; do not trust this package")
    return root.joinpath(*parts)

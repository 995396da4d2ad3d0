"""Reading the files of a package: paths that stay inside it, sizes that are bounded, errors that name the file."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from sdrt.errors import MissingFileError, ModelError

__all__ = ["inside", "read_bytes", "read_json"]

_FILE_LIMIT = 2**31  # bytes: protobuf allows no message of more


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
        raise ModelError(f"{what} must be a path inside the package, got {name!r}; do not trust this package")
    return root.joinpath(*parts)


def read_bytes(path: Path) -> bytes:
    """Read a file's bytes.

    Raises
    ------
    MissingFileError : it is not there
    ModelError : it cannot be read, or is too large for what it should hold
    """
    try:
        if path.stat().st_size > _FILE_LIMIT:
            raise ModelError(f"{path}: a program must have at most {_FILE_LIMIT} bytes, got {path.stat().st_size}; this is no program")
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"{path}: the file is missing; fetch or convert the package again") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check the package") from None


def read_json(path: Path) -> Any:
    """Read the value that a JSON file holds.

    Raises
    ------
    ModelError : it holds none
    """
    try:
        return json.loads(read_bytes(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: is no JSON ({error}); fetch or convert the package again") from None

"""Fingerprints of a component's weights, from a sample of their bytes: whole files of gigabytes would take seconds to read."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from sdrt.errors import ConfigError, ModelError
from sdrt.files import is_file, is_folder, open_file
from sdrt.printable import shown
from sdrt.values import FilePath

__all__ = ["fingerprint"]

# Of each file: what stands at its head (the names and shapes of a safetensors file), and blocks spread over the rest.
_HEAD = 1 << 16
_BLOCKS, _BLOCK = 128, 1 << 10
_PATH = FilePath()


def fingerprint(paths: Iterable[Path]) -> str:
    """Return 16 hexadecimal digits that tell these weights from others.

    Each file counts with its size, its first 64 KiB and 128 blocks of 1 KiB at equal distances. Training moves every tensor, so that other
    weights of the same shapes differ there; a change of a few bytes alone may be missed. Names of files do not count.

    Parameters
    ----------
    paths : iterable of Path
        Files, or folders with all the files in them (Core ML packages).

    Raises
    ------
    ConfigError : no list of paths
    MissingFileError, ModelError : a file is not there, or cannot be read
    """
    digest = hashlib.sha256()
    for file in _files(paths):
        with open_file(file) as stream:
            size = stream.seek(0, io.SEEK_END)
            digest.update(size.to_bytes(8, "big"))
            stream.seek(0)
            digest.update(stream.read(_HEAD))
            for k in range(_BLOCKS) if size > _HEAD else ():
                stream.seek(_HEAD + (size - _HEAD) * k // _BLOCKS)
                digest.update(stream.read(_BLOCK))
    return digest.hexdigest()[:16]


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    # an array of no dimension is Iterable, and cannot be iterated
    if not isinstance(paths, Iterable) or isinstance(paths, str | bytes) or getattr(paths, "shape", None) == ():
        raise ConfigError(f"paths must be a list of files and folders, got {shown(paths)}; pass [path]")
    for path in (_PATH.check("what is fingerprinted", each, "pass its path", ModelError) for each in paths):
        yield from sorted(file for file in path.rglob("*") if is_file(file)) if is_folder(path) else (path,)

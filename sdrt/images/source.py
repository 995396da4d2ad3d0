"""Files of pictures as they are read: regular files alone, of a bounded size, and errors that name the file."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sdrt.errors import ImageError
from sdrt.limits import Limits
from sdrt.values import FilePath

__all__ = ["opened"]


@contextmanager
def opened(file: str | Path, limits: Limits) -> Iterator[tuple[Path, BinaryIO, int]]:
    """Open a picture's file for reading; yields its path, a stream, and its size in bytes.

    Raises
    ------
    ImageError : no path, no such file, a folder, a pipe or a device, one that may not be read, or more than ``limits.file_bytes``
    """
    path = FilePath().check("a picture", file, "pass the path of a file", ImageError)
    try:
        # asked before it is opened: a pipe without a writer would wait for ever, and a device has no end
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
            raise ImageError(f"{path}: must be a file, got {kind}; pass a picture")
        limits.check("file_bytes", f"{path}: the bytes of a picture", status.st_size, ImageError)
        with path.open("rb") as stream:
            yield path, stream, os.fstat(stream.fileno()).st_size
    except FileNotFoundError as error:
        raise ImageError(f"{path}: cannot be read (no such file); pass a picture") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error}); pass a picture that you may read") from error
    except UnicodeEncodeError as error:
        raise ImageError(f"{path}: is a name that this system cannot write; rename the picture") from error

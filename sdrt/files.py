"""Ask the disk about files that others wrote: what the system refuses is one error that names the path, never an OSError.

Models, tokenizers and packages are folders from elsewhere. A name in them may be a pipe, a device, a link to itself, or closed to this
user; a path from a caller may hold a NUL. Everything that opens such a file does it here.
"""

import errno
import mmap
import os
import stat
from pathlib import Path
from typing import BinaryIO

from sdrt.errors import ConfigError, MissingFileError, ModelError, SdrtError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.printable import shown
from sdrt.values import FilePath

__all__ = [
    "check_given",
    "entries",
    "exists",
    "file_size",
    "is_file",
    "is_folder",
    "map_file",
    "open_file",
    "read_bytes",
    "read_range",
    "read_text",
    "user_path",
]

# The first bytes of what Git leaves in the place of a large file that was not fetched.
_LFS_POINTER = b"version https://git-lfs"

_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_OTHER_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def user_path(name: str, value: object, error: type[SdrtError] = ConfigError) -> Path:
    """Return a path that a caller passed, with ``~`` expanded.

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    value : path
    error : class of SdrtError

    Raises
    ------
    error : it is no path, is empty, or begins with the home of nobody
    """
    path = FilePath().check(name, value, "pass the path of a file or folder", error)
    if value == "":
        raise error(f"{name} must be a path, got ''; pass '.' for the folder that you are in")
    try:
        return path.expanduser()
    except RuntimeError:
        raise error(f"{name} must be a path, got {shown(str(path))}, whose home folder is unknown; write the path in full") from None


def exists(path: Path) -> bool:
    """Return whether anything has this name, a broken link too.

    Raises
    ------
    ModelError : the system does not say
    """
    return _mode(path, follow=False) is not None


def is_file(path: Path) -> bool:
    """Return whether a path is that of a regular file, through links.

    Raises
    ------
    ModelError : the system does not say
    """
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder, through links.

    Raises
    ------
    ModelError : the system does not say
    """
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def check_given(file: Path, what: str) -> None:
    """Check that a file which a caller names, and no model holds, is there.

    Parameters
    ----------
    what : str
        What it must be, for the message: "a LoRA's file".

    Raises
    ------
    MissingFileError : it is not there
    ModelError : it is no regular file, or the system does not say
    """
    mode = _mode(file)
    if mode is None:
        raise MissingFileError(f"{file}: must be {what}, got a name that is not there; correct the path")
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else _OTHER_KINDS.get(stat.S_IFMT(mode), "something else")
        raise ModelError(f"{file}: must be {what}, got {kind}; pass a file")


def entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, sorted.

    Raises
    ------
    ModelError : it cannot be listed
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise _refused(folder, error) from None


def open_file(file: Path, error: type[ModelError] = ModelError) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises
    ------
    MissingFileError : it is not there
    error : it cannot be opened, is no regular file (a pipe, a device, a folder), or is what Git-LFS leaves in the place of one
    """
    # without O_NONBLOCK, to open a pipe waits for someone who writes into it
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    if is_folder(file):
        raise error(f"{file}: must be a file, got a folder; fetch the model again")
    try:
        descriptor = os.open(file, flags)
    except (OSError, ValueError) as problem:
        raise _refused(file, problem) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise error(f"{file}: must be a file, got {_OTHER_KINDS.get(stat.S_IFMT(mode), 'something else')}; fetch the model again")
    stream = os.fdopen(descriptor, "rb")
    if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
        stream.close()
        raise error(f"{file}: a Git-LFS pointer, not the file itself; run 'git lfs pull' in the model's folder")
    stream.seek(0)
    return stream


def file_size(file: Path, error: type[ModelError] = ModelError) -> int:
    """Return the size of a regular file in bytes.

    Raises
    ------
    MissingFileError : it is not there
    error : as of `open_file`
    """
    with open_file(file, error) as stream:
        return os.fstat(stream.fileno()).st_size


def read_bytes(file: Path, limits: Limits = DEFAULT_LIMITS, limit: str = "file_bytes") -> bytes:
    """Read a whole file.

    Parameters
    ----------
    file : Path
    limits : Limits
    limit : "file_bytes" or "json_bytes"
        Which of them it has to keep.

    Raises
    ------
    MissingFileError : it is not there
    ModelError : it is too large, or as of `open_file`
    """
    with open_file(file) as stream:
        limits.check(limit, f"{file}: the size in bytes", os.fstat(stream.fileno()).st_size, ModelError)
        try:
            return stream.read()
        except OSError as error:
            raise _refused(file, error) from None


def read_text(file: Path, limits: Limits = DEFAULT_LIMITS, limit: str = "file_bytes") -> str:
    """Read a whole file of text in UTF-8, without the byte order mark that editors of Windows put before it.

    Raises
    ------
    MissingFileError, ModelError : as of `read_bytes`
    ModelError : it is no UTF-8
    """
    content = read_bytes(file, limits, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(
            f"{file}: must be text in UTF-8, got the byte {content[error.start]:#04x} at {error.start}; fetch it again"
        ) from None


def map_file(file: Path, error: type[ModelError] = ModelError) -> mmap.mmap | bytes:
    """Return the bytes of a file of any size as a view of the disk, of which only what is touched is read.

    A file that is cut short while it is mapped ends the process when its lost part is touched; `read_range` does not.

    Parameters
    ----------
    file : Path
    error : class of ModelError

    Raises
    ------
    MissingFileError : it is not there
    error : as of `open_file`
    """
    with open_file(file, error) as stream:
        try:
            # an empty file cannot be mapped
            empty = os.fstat(stream.fileno()).st_size == 0
            return b"" if empty else mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as problem:
            raise _refused(file, problem) from None


def read_range(file: Path, start: int, length: int, error: type[ModelError] = ModelError) -> bytes:
    """Read a part of a file into memory.

    Parameters
    ----------
    file : Path
    start, length : int
        In bytes.
    error : class of ModelError

    Raises
    ------
    MissingFileError : it is not there any more
    error : it ends before the part does, or as of `open_file`
    """
    with open_file(file, error) as stream:
        try:
            stream.seek(start)
            content = stream.read(length)
        except OSError as problem:
            raise _refused(file, problem) from None
    if len(content) != length:
        raise error(f"{file}: was cut short while in use; it ends at byte {start + len(content)}, before {start + length}; fetch it again")
    return content


def _mode(path: Path, *, follow: bool = True) -> int | None:
    """Return the mode of what has a name; None if nothing has it."""
    try:
        return path.stat(follow_symlinks=follow).st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _ABSENT:
            return None
        raise _refused(path, error) from None


def _refused(path: Path, error: OSError | ValueError) -> ModelError:
    if isinstance(error, FileNotFoundError):
        return MissingFileError(f"{path}: not found; the model is incomplete")
    # a ValueError is about the name: a NUL, or half of a surrogate pair
    reason = error.strerror or type(error).__name__ if isinstance(error, OSError) else "no file can have this name"
    return ModelError(f"{path}: cannot be read ({reason}); check the name, and who may read it")

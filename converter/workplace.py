"""Hold unfinished files in a folder beside the finished ones, give them their names whole, and clear up after a process that was killed.

A workplace is locked by its process as long as it is in use. One that nobody has locked belonged to a process that was killed: the next
conversion into the same folder puts back what that process had taken away, and removes the rest.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sdrt.errors import ConversionError, SdrtError
from sdrt.host import lock_file

__all__ = ["move_into_place", "output_folder", "remove_package", "workplace", "write_text"]

_PREFIX = ".converting-"
_LOCK = "lock"
_PLACE = ".place"  # the ending of a file that states where a replaced package belongs


@contextmanager
def output_folder(out: Path) -> Iterator[None]:
    """Make a conversion's folder and find out whether it can be written to; remove it afterwards if nothing was written.

    What earlier conversions left unfinished in it is cleared up.

    Raises
    ------
    ConversionError : it is not writable
    """
    made = [folder for folder in (out, *out.parents) if not os.path.lexists(folder)]
    with workplace(out):
        pass
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()  # fails unless it is empty


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """Make a folder inside ``out`` for unfinished files; it is removed afterwards, whatever happens.

    Raises
    ------
    ConversionError : the disk is full, or ``out`` is not writable
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        _sweep(out)
        folder, lock = _claim(out)
    except OSError as error:
        raise ConversionError(f"{out}: must be a folder to write to, got {error.strerror}; choose another one with -o") from error
    try:
        yield folder
    except OSError as error:
        if isinstance(error, SdrtError):
            raise
        reason = error.strerror or error
        raise ConversionError(
            f"{out}: writing failed ({reason}), and nothing incomplete is left; make room, or choose another folder"
        ) from error
    finally:
        _clear(folder, lock)


def move_into_place(written: Path, place: Path) -> None:
    """Give a finished package its name, and the rights that the user's umask leaves; one already there is only removed afterwards.

    Parameters
    ----------
    written : Path
        In a `workplace`.
    place : Path
        In the folder of the workplace, or below.
    """
    folder = written.parent
    _set_modes(written, folder / _LOCK)
    if os.path.lexists(place):
        # From here to the end, the package exists under one of the two names; `_clear` gives it its own back if this is interrupted.
        before = folder / f"before-{len(list(folder.glob(f'*{_PLACE}')))}"
        before.with_suffix(_PLACE).write_bytes(os.fsencode(place.relative_to(folder.parent)))
        place.rename(before)
    written.rename(place)


def remove_package(package: Path) -> None:
    """Remove a package: it is there whole until it is gone.

    Raises
    ------
    ConversionError : its folder is not writable
    """
    try:
        with workplace(package.parent) as folder:
            package.rename(folder / package.name)
    except ConversionError as error:
        raise ConversionError(f"{package}: cannot be removed ({error.__cause__}), and all else is done; remove it by hand") from error


def write_text(file: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with workplace(file.parent) as folder:
        written = folder / file.name
        written.write_text(text, encoding="utf-8")
        written.replace(file)


def _claim(out: Path) -> tuple[Path, int]:
    """Make a folder and lock it; the lock is an open file."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=out))
        lock = _lock(folder, required=False)
        if lock is not None:
            return folder, lock


def _sweep(out: Path) -> None:
    """Clear up the folders of processes that were killed."""
    for folder in sorted(out.glob(f"{_PREFIX}*")):
        # a folder of another user, or a disk without locks: nobody can tell whether it is in use
        with suppress(OSError):
            if folder.is_dir() and not folder.is_symlink() and (lock := _lock(folder)) is not None:
                _clear(folder, lock)


def _clear(folder: Path, lock: int) -> None:
    """Put back every package that was taken away for a new one that never came, and remove the folder."""
    os.close(lock)
    for note in folder.glob(f"*{_PLACE}"):
        with suppress(OSError):
            place = folder.parent / os.fsdecode(note.read_bytes())
            if not os.path.lexists(place):
                note.with_suffix("").rename(place)
    shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path, *, required: bool = True) -> int | None:
    """Lock a folder by an open file in it; return None if another process has it, or has removed it.

    Raises
    ------
    OSError : the disk has no locks, and one is ``required``
    """
    try:
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o666)
    except FileNotFoundError:
        return None
    try:
        lock_file(lock)
        # between opening and locking, another process may have removed the folder
        if os.path.samestat(os.fstat(lock), (folder / _LOCK).stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        if not required:
            return lock
        os.close(lock)
        raise
    os.close(lock)
    return None


def _set_modes(package: Path, made_here: Path) -> None:
    """Give a package the rights of a file made here; coremltools copies some from temporary files, which only their owner may read."""
    mode = made_here.stat().st_mode & 0o666
    for path in (package, *package.rglob("*")):
        # who may read a folder may enter it
        path.chmod(mode | (mode & 0o444) >> 2 if path.is_dir() else mode)

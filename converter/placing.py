"""Folders that appear whole or not at all."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["place", "workshop"]


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """An empty hidden folder inside ``folder``, whose things can be renamed to be beside it; gone afterwards, with what is still in it."""
    path = folder / f".{secrets.token_hex(6)}.part"
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def place(made: Path, target: Path) -> None:
    """Rename a finished folder to its name; what had that name is gone afterwards, and is back if the renaming fails."""
    if not target.exists():
        made.rename(target)
        return
    # no system replaces a folder that is not empty in one step
    old = made.with_name(f"{secrets.token_hex(6)}.old")
    target.rename(old)
    try:
        made.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old) if old.is_dir() else old.unlink()

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
    """Rename a folder that was finished in a workshop to its name; what had that name goes with the workshop, and is back if that fails."""
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

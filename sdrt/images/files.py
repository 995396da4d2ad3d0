"""Files of pictures: names, and saving a PNG that never replaces another file."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.errors import ImageError
from sdrt.images.png import written_png

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["make_folder", "picture_name", "save_new_png"]


def picture_name(title: str, seed: int) -> str:
    """Return a file name with prompt and seed that is valid on every file system.

    >>> picture_name("A red circle, 50% wide!", 93)
    'a_red_circle_50_wide.93.png'
    """
    words = re.sub(r"[^\w-]+", "_", title.lower()).strip("_")
    # a name may have 255 bytes on most file systems, and a letter up to 4
    stem = words.encode()[:120].decode(errors="ignore").rstrip("_")
    return f"{stem or 'picture'}.{seed}.png"


def save_new_png(image: "Image", file: Path, text: Mapping[str, str]) -> Path:
    """Write a PNG whole or not at all, and never over another file.

    Parameters
    ----------
    file : Path
        The preferred name; if it is taken, the first free one of ``name-2.png``, ``name-3.png``, ...

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    ImageError : the folder does not exist, or cannot be written
    """
    with written_png(image, file, text) as temporary:
        return next(candidate for candidate in _numbered(file) if _put_in_place(temporary, candidate))


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, unless it exists.

    Raises
    ------
    ImageError : it cannot be created
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{folder}: cannot be made a folder ({error.strerror}); choose another place") from error


def _numbered(file: Path) -> Iterator[Path]:
    yield file
    number = 2
    while True:
        yield file.with_name(f"{file.stem}-{number}{file.suffix}")
        number += 1


def _put_in_place(temporary: Path, file: Path) -> bool:
    """Give a finished file its name atomically, unless the name is taken; return whether it succeeded."""
    try:
        file.hardlink_to(temporary)
    except FileExistsError:
        return False
    except (OSError, NotImplementedError):
        # a file system without hard links: reserve the name with an empty file first
        try:
            file.open("xb").close()
        except FileExistsError:
            return False
        temporary.replace(file)
    return True

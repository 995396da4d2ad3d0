"""Files of pictures: names, whether they can be written, and saving a picture that never replaces another file."""

import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.errors import ImageError
from sdrt.images.saving import ENDINGS, PictureFormat, PngEncoder, cannot_write, pillow_png, written
from sdrt.values import FilePath, Integer, Text

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "OTHER_PICTURES",
    "check_file",
    "check_folder",
    "file_name",
    "make_folder",
    "picture_name",
    "save_new_picture",
    "save_new_png",
]

# Endings that ask for a picture of a kind that is not written here.
OTHER_PICTURES = frozenset(
    {
        *(".apng", ".avif", ".bmp", ".dng", ".exr", ".gif", ".hdr", ".heic", ".heif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe"),
        *(".jxl", ".npy", ".npz", ".pbm", ".pdf", ".pgm", ".pnm", ".ppm", ".psd", ".qoi", ".svg", ".tga", ".tif", ".tiff"),
    }
)

# Names of Windows' devices, whatever ending follows: a file of that name is not made, or is the console.
# Source: Microsoft, "Naming Files, Paths, and Namespaces".
_DEVICES = re.compile("(con|prn|aux|nul|(com|lpt)[0-9¹²³])", re.IGNORECASE)

_TITLE = Text(length=None)
# Those of all images of a call: a longer number would be no name.
_SEED = Integer(-(2**64), 2**65)


def picture_name(title: str, seed: int, kind: PictureFormat = "png") -> str:
    """Return a file name with prompt and seed that is valid on every file system, with the usual ending of its format.

    >>> picture_name("A red circle, 50% wide!", 93)
    'a_red_circle_50_wide.93.png'
    >>> picture_name("con", 93)
    '_con.93.png'

    Raises
    ------
    ImageError : no text, or no whole number
    """
    title = _TITLE.check("title", title, "pass what the picture shows", ImageError)
    seed = _SEED.check("seed", seed, "pass the picture's seed", ImageError)
    words = re.sub(r"[^\w-]+", "_", title.lower()).strip("_")
    # a name may have 255 bytes on most file systems, and a letter up to 4
    stem = words.encode()[:120].decode(errors="ignore").rstrip("_")
    ending = next(each for each, of in ENDINGS.items() if of == kind)
    return _no_device(f"{stem or 'picture'}.{seed}{ending}")


def file_name(file: Path, system: str = os.name) -> Path:
    """Return a path whose last part is no device of this system.

    >>> file_name(Path("pictures/con.png"), "nt").name
    '_con.png'
    """
    return file.with_name(_no_device(file.name)) if system == "nt" else file


def _no_device(name: str) -> str:
    return f"_{name}" if _DEVICES.fullmatch(name.partition(".")[0].rstrip()) else name


def save_new_picture(
    image: "Image",
    file: Path,
    text: Mapping[str, str],
    kind: PictureFormat | None = None,
    quality: int | None = None,
    *,
    png: PngEncoder = pillow_png,
) -> Path:
    """Write a picture whole or not at all, and never over another file.

    Parameters
    ----------
    file : Path
        The preferred name; if it is taken, the first free one of ``name-2.png``, ``name-3.png``, ...
    image, text, kind, quality, png
        As of `sdrt.images.saving.written`.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    ImageError : the folder does not exist, or cannot be written; no image, path or text
    """
    file = FilePath().check("file", file, "pass the path of a picture", ImageError)
    with written(image, file, text, kind, quality, png=png) as temporary:
        return next(candidate for candidate in _numbered(file) if _put_in_place(temporary, candidate))


def save_new_png(image: "Image", file: Path, text: Mapping[str, str]) -> Path:
    """Write a PNG whole or not at all, and never over another file: see `save_new_picture`."""
    return save_new_picture(image, file, text, "png")


def make_folder(folder: str | Path) -> list[Path]:
    """Create a folder and its parents, unless it exists; returns those that were created, the innermost first.

    Raises
    ------
    ImageError : it cannot be created
    """
    path = FilePath().check("a folder", folder, "pass the path of a folder", ImageError)
    try:
        missing = [each for each in (path, *path.parents) if not os.path.lexists(each)]
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no folder can have this name"
        raise ImageError(f"{path}: cannot be made a folder ({reason}); choose another place") from error
    return missing


def check_folder(folder: Path) -> None:
    """Check that files can be made in a folder, by making one and removing it.

    Raises
    ------
    ImageError : none can: a folder without the right to write, a file system that is read-only or full
    """
    # neither rights nor os.access tell the truth on every file system
    attempt = folder / f".{secrets.token_hex(8)}.part"
    try:
        try:
            with attempt.open("xb") as stream:
                stream.write(b"\0")
        finally:
            attempt.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise cannot_write(folder, error) from error


def check_file(file: Path) -> None:
    """Check that a file can be written, new or in the place of an older one.

    Raises
    ------
    ImageError : its folder is missing or cannot be written, or there is a folder or a protected file of this name
    """
    try:
        if not file.parent.is_dir():
            raise ImageError(f"{file.parent}: no such folder; make it first, or choose another place")
        if _is_folder(file):
            raise ImageError(f"{file}: cannot be written (it is a folder); choose another name")
        if file.exists() and not os.access(file, os.W_OK):
            raise ImageError(f"{file}: cannot be written (it is protected); choose another name")
    except (OSError, ValueError) as error:
        raise cannot_write(file, error) from error
    check_folder(file.parent)


def _is_folder(path: Path) -> bool:
    # Path.is_dir would hide a name that cannot be
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return False


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
        # a file system without hard links: claim the name with an empty file first
        try:
            file.open("xb").close()
        except FileExistsError:
            return False
        try:
            temporary.replace(file)
        except OSError:
            file.unlink(missing_ok=True)
            raise
    return True

"""The names of stable-diffusion.cpp's pictures: ``output.png``, ``output_2.png``, ...

Source: leejet/stable-diffusion.cpp, ``examples/cli/main.cpp``. Its releases from 2023 on, and the help of May 2026, count so. The
function ``save_results`` of May 2026 begins with ``output_0.png`` where there are several pictures, as ``--output-begin-idx 0`` does here.
"""

import re
from pathlib import Path

from sdrt.cli.others.named_pictures import NamedPictures
from sdrt.errors import ConfigError

__all__ = ["numbered_names", "numbered_pictures"]

# A number in the name, and what is a mere percent sign.
_NUMBER = re.compile(r"%%|%(\d{0,3})d")
_LOSSY_QUALITY = 90


def numbered_pictures(path: Path, count: int, first: int | None, *, with_settings: bool) -> NamedPictures:
    """Return the destination that ``-o`` means.

    Parameters
    ----------
    path, count, first
        As of `numbered_names`.
    with_settings : bool
        Whether the settings are written into the files.

    Raises
    ------
    ConfigError : standard output, a folder, or a negative number
    """
    if str(path) == "-":
        raise ConfigError("-o must be the name of a picture, got '-'; pictures are not written to standard output")
    if path.is_dir():
        raise ConfigError(f"-o must be the name of a picture, got the folder {path}; write {path / 'output.png'}")
    if first is not None and first < 0:
        raise ConfigError(f"--output-begin-idx must be at least 0, got {first}; leave it out")
    names = numbered_names(path, count, first)
    return NamedPictures(path.parent, names, names_seeds=False, with_settings=with_settings, quality=_LOSSY_QUALITY)


def numbered_names(path: Path, count: int, first: int | None) -> tuple[str, ...]:
    """Return the names of the pictures of a call, in their order.

    Parameters
    ----------
    path : Path
        The first. Another ending than .png, .jpg, .jpeg and .webp is followed by .png.
    count : int
    first : int or None
        The number in the first name; None: names without ``%d`` are numbered from the second picture on, others from 0.

    >>> numbered_names(Path("cat.png"), 3, None)
    ('cat.png', 'cat_2.png', 'cat_3.png')
    >>> numbered_names(Path("cat_%03d.jpg"), 2, None)
    ('cat_000.jpg', 'cat_001.jpg')
    """
    from sdrt.images.files import file_name
    from sdrt.images.saving import format_of

    stem, ending = (path.stem, path.suffix) if format_of(path) is not None else (path.name, ".png")
    numbered = any(match[0] != "%%" for match in _NUMBER.finditer(stem))
    stems = [_numbered(stem, index + (first or 0)) if numbered else stem + _suffix(index, count, first) for index in range(count)]
    return tuple(file_name(Path(each + ending)).name for each in stems)


def _suffix(index: int, count: int, first: int | None) -> str:
    if count == 1 or (first is None and index == 0):
        return ""
    return f"_{index + 1 if first is None else index + first}"


def _numbered(pattern: str, number: int) -> str:
    """Return a name with a number, as printf writes it, in the place of each ``%d``.

    >>> _numbered("cat_%03d_100%%", 7)
    'cat_007_100%'
    """
    return _NUMBER.sub(lambda match: "%" if match[0] == "%%" else f"%{match[1]}d" % number, pattern)

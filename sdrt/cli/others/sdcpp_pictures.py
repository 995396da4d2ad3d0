"""The names of stable-diffusion.cpp's pictures: ``output.png``, ``output_2.png``, ...

Source: leejet/stable-diffusion.cpp, ``examples/cli/main.cpp``. Its releases from 2023 on, and the help of May 2026, count so. The
function ``save_results`` of May 2026 begins with ``output_0.png`` where there are several pictures, as ``--output-begin-idx 0`` does here.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.cli import signals
from sdrt.errors import ConfigError

if TYPE_CHECKING:
    from sdrt.pipeline.results import Result

__all__ = ["NumberedPictures"]

# A number in the name, and what is a mere percent sign.
_NUMBER = re.compile(r"%%|%(\d{0,3})d")
_LOSSY_QUALITY = 90


@dataclass(frozen=True, kw_only=True)
class NumberedPictures:
    """A destination whose files are named before anything is drawn; older files of these names are replaced.

    Parameters
    ----------
    path : Path
        The name of the first. Another ending than .png, .jpg, .jpeg and .webp is followed by .png.
    count : int
    first : int or None
        The number in the first name; None: names without ``%d`` are numbered from the second picture on, others from 0.
    with_settings : bool
        Whether the settings are written into the files.

    Raises
    ------
    ConfigError : standard output, or a folder
    """

    path: Path
    count: int
    first: int | None = None
    with_settings: bool = True

    def __post_init__(self) -> None:
        if str(self.path) == "-":
            raise ConfigError("-o must be the name of a picture, got '-'; pictures are not written to standard output")
        if self.path.is_dir():
            raise ConfigError(f"-o must be the name of a picture, got the folder {self.path}; write {self.path / 'output.png'}")
        if self.first is not None and self.first < 0:
            raise ConfigError(f"--output-begin-idx must be at least 0, got {self.first}; leave it out")

    @property
    def names_seeds(self) -> bool:
        """No name shows a seed."""
        return False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in the order of the images.

        >>> [file.name for file in NumberedPictures(path=Path("cat.png"), count=3).files]
        ['cat.png', 'cat_2.png', 'cat_3.png']
        >>> [file.name for file in NumberedPictures(path=Path("cat_%03d.jpg"), count=2).files]
        ['cat_000.jpg', 'cat_001.jpg']
        """
        from sdrt.images.files import file_name
        from sdrt.images.saving import format_of

        stem, ending = (self.path.stem, self.path.suffix) if format_of(self.path) is not None else (self.path.name, ".png")
        numbered = any(match[0] != "%%" for match in _NUMBER.finditer(stem))
        names = [_numbered(stem, index + (self.first or 0)) if numbered else stem + self._suffix(index) for index in range(self.count)]
        return tuple(file_name(self.path.with_name(name + ending)) for name in names)

    def _suffix(self, index: int) -> str:
        if self.count == 1 or (self.first is None and index == 0):
            return ""
        return f"_{index + 1 if self.first is None else index + self.first}"

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Check that each picture can be written, and make the folder; one that stays empty is removed again.

        Raises
        ------
        ImageError : one cannot
        """
        from sdrt.images.files import check_file, make_folder

        made: list[Path] = []
        try:
            with signals.deferred():
                made = make_folder(self.path.parent)
                for file in self.files:
                    check_file(file)
            yield
        finally:
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()

    def save(self, result: "Result") -> list[Path]:
        """Write the images of a result; returns the files, in their order.

        Raises
        ------
        ImageError : a file cannot be written
        """
        from sdrt.images import save_picture
        from sdrt.images.saving import format_of

        for image, file, text in zip(result.images, self.files, result.texts, strict=True):
            quality = None if format_of(file) == "png" else _LOSSY_QUALITY
            save_picture(image, file, text if self.with_settings else {}, quality=quality, png=result.png)
        return list(self.files)


def _numbered(pattern: str, number: int) -> str:
    """Return a name with a number, as printf writes it, in the place of each ``%d``.

    >>> _numbered("cat_%03d_100%%", 7)
    'cat_007_100%'
    """
    return _NUMBER.sub(lambda match: "%" if match[0] == "%%" else f"%{match[1]}d" % number, pattern)

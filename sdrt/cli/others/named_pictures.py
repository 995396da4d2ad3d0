"""Pictures under the names that another program gives them: a picture of the same name is replaced, as it is there."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.cli.output import folder_for_pictures
from sdrt.log import log

if TYPE_CHECKING:
    from sdrt.pipeline.results import Result

__all__ = ["NamedPictures", "fitting_name"]

# What most file systems allow, in bytes.
_NAME_LENGTH = 255

# What ends a name or begins a folder, and on Windows what no name has.
_SEPARATORS = re.compile(r"[/\x00]")
_NOT_ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def fitting_name(stem: str, ending: str = "", system: str = os.name) -> str:
    """Return ``stem + ending`` as one part of a path: what no name can hold becomes ``_``, and a long stem is cut.

    >>> fitting_name("and/or", ".93.png")
    'and_or.93.png'
    >>> fitting_name("..")
    '__'
    """
    clean = (_NOT_ON_WINDOWS if system == "nt" else _SEPARATORS).sub("_", stem)
    if not ending and clean in (".", ".."):
        return "_" * len(clean)
    room = _NAME_LENGTH - len(ending.encode())
    return clean.encode(errors="surrogateescape")[:room].decode(errors="ignore") + ending


@dataclass(frozen=True)
class NamedPictures:
    """A destination whose files are named before anything is drawn.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    names : tuple of str
        Of the images of the call, in their order.
    saves_flagged : bool
        Whether pictures that the safety checker flagged, and which are black then, are written too.
    names_seeds : bool
        Whether every name shows the seed.
    with_settings : bool
        Whether the settings are written into the files.
    quality : int or None
        Of JPEG and WebP; None: the default.
    """

    folder: Path
    names: tuple[str, ...]
    saves_flagged: bool = True
    names_seeds: bool = True
    with_settings: bool = True
    quality: int | None = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Check that each picture can be written, and make the folder; one that stays empty is removed again.

        Raises
        ------
        ImageError : one cannot
        """
        from sdrt.images.files import check_file

        with folder_for_pictures(self.folder):
            for name in self.names:
                check_file(self.folder / name)
            yield

    def save(self, result: "Result") -> list[Path]:
        """Write the images of a result; returns the files, in their order.

        Raises
        ------
        ImageError : a file cannot be written
        """
        from sdrt.images import save_picture
        from sdrt.images.saving import format_of

        flagged = result.flagged or (False,) * len(result.images)
        files = []
        for image, name, text, hidden in zip(result.images, self.names, result.texts, flagged, strict=True):
            if hidden and not self.saves_flagged:
                log.warning("%s failed the safety check, and is not saved", name)
                continue
            file = self.folder / name
            quality = None if format_of(file) == "png" else self.quality
            save_picture(image, file, text if self.with_settings else {}, quality=quality, png=result.png)
            files.append(file)
        return files

"""Where pictures go: a folder, or one file; whether they can is found out before anything is drawn."""

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sdrt.cli import signals
from sdrt.cli.options import fold
from sdrt.cli.paths import a_path
from sdrt.errors import ConfigError

if TYPE_CHECKING:
    from sdrt.images.saving import PictureFormat
    from sdrt.pipeline.results import Result
    from sdrt.records.settings import Settings

__all__ = ["Output", "add_output", "folder_for_pictures"]


def add_output(command: argparse.ArgumentParser, place: str = "a folder, or a file ending in .png, .jpg or .webp") -> None:
    """Add ``-o``, ``--format`` and ``--quality`` to a command."""
    command.add_argument("-o", "--output", type=a_path, default=Path(), metavar="PATH", help=f"{place} (default: the current folder)")
    command.add_argument("--format", metavar="{png,jpeg,webp}", help="of the files in a folder; each carries the settings (default: png)")
    command.add_argument("--quality", type=int, metavar="N", help="of JPEG and WebP, 1 to 100 (default: 95)")


@contextmanager
def folder_for_pictures(folder: Path) -> Iterator[None]:
    """Make a folder and check that files can be made in it; one that stays empty is removed again.

    Raises
    ------
    ImageError : none can
    """
    from sdrt.images.files import check_folder, make_folder

    made: list[Path] = []
    try:
        with signals.deferred():
            made = make_folder(folder)
            check_folder(folder)
        yield
    finally:
        with suppress(OSError):
            for each in made:
                each.rmdir()


@dataclass(frozen=True)
class Output:
    """A place for pictures.

    Parameters
    ----------
    path : Path
    is_file : bool
        Whether it is the file of the one picture, and not a folder.
    kind : "png", "jpeg" or "webp"
        The format of the files.
    quality : int or None
        Of JPEG and WebP; None: the default.
    """

    path: Path
    is_file: bool
    kind: "PictureFormat" = "png"
    quality: int | None = None

    @classmethod
    def parse(cls, arguments: argparse.Namespace, count: int, what: str = "prompts") -> Self:
        """Return the place that ``-o``, ``--format`` and ``--quality`` mean.

        Raises
        ------
        ConfigError : a picture of another kind, standard output, one file for several prompts, or a format that is not the file's
        ImageError : no such format or quality
        """
        from sdrt.images.files import OTHER_PICTURES, file_name
        from sdrt.images.saving import ENDINGS, check_format, check_quality, format_of

        path: Path = arguments.output
        rule = "-o must be a folder, or a file ending in .png, .jpg or .webp"
        if str(path) == "-":
            raise ConfigError(f"{rule}, got '-'; pictures are not written to standard output")
        wanted = None if arguments.format is None else check_format(fold(arguments.format, ENDINGS.values()))
        by_ending = format_of(path)
        # False for a name that cannot be, where Path raises
        if path.suffix.lower() in OTHER_PICTURES and not os.path.isdir(path):  # noqa: PTH112
            raise ConfigError(f"{rule}, got {path}; those carry the settings")
        if by_ending is None:
            kind = wanted or "png"
            return cls(path, False, kind, check_quality(arguments.quality, kind))
        if count > 1:
            raise ConfigError(f"-o must be a folder for {count} {what}, got the file {path}; pass a folder")
        if wanted not in (None, by_ending):
            raise ConfigError(f"--format must be that of the file, got {wanted} for {path}; leave it out")
        return cls(file_name(path), True, by_ending, check_quality(arguments.quality, by_ending))

    @classmethod
    def parse_folder(cls, arguments: argparse.Namespace) -> Self:
        """Return the folder that ``-o`` means, for a command that writes more than pictures.

        Raises
        ------
        ConfigError : the name of a picture, or standard output
        ImageError : no such format or quality
        """
        output = cls.parse(arguments, 1)
        if output.is_file:
            raise ConfigError(f"-o must be a folder, got the file {output.path}; pass a folder, and --format {output.kind}")
        return output

    @property
    def names_seeds(self) -> bool:
        """Whether the files' names show the seeds: those in a folder do."""
        return not self.is_file

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Check that pictures can be written, and make the folder; one that stays empty is removed again.

        Raises
        ------
        ImageError : they cannot
        """
        if not self.is_file:
            with folder_for_pictures(self.path):
                yield
            return
        from sdrt.images.files import check_file

        with signals.deferred():
            check_file(self.path)
        yield

    def files(self, settings: "Settings", seeds: Sequence[int]) -> list[Path]:
        """Return the file of each image of a call, as long as no other has its name."""
        from sdrt.pipeline.results import picture_names

        if not self.is_file:
            return [self.path / name for name in picture_names(settings, seeds, kind=self.kind)]
        return [self.path] if len(seeds) == 1 else [self.path.with_suffix(f".{seed}{self.path.suffix}") for seed in seeds]

    def save(self, result: "Result") -> list[Path]:
        """Write the images of a result; returns the files, in their order.

        The one file that ``-o`` names replaces an older one; every other takes the first name that is free.

        Raises
        ------
        ImageError : a file cannot be written
        """
        if not self.is_file:
            return result.save(self.path, format=self.kind, quality=self.quality)
        from sdrt.images import save_new_picture, save_picture

        if len(result.images) == 1:
            save_picture(result.images[0], self.path, result.texts[0], quality=self.quality, png=result.png)
            return [self.path]
        names = self.files(result.settings, result.seeds)
        return [
            save_new_picture(*each, quality=self.quality, png=result.png) for each in zip(result.images, names, result.texts, strict=True)
        ]

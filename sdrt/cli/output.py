"""Where ``generate`` puts its pictures: a folder, or one file; whether it can is found out before anything is drawn."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sdrt.cli import signals
from sdrt.errors import ConfigError

if TYPE_CHECKING:
    from sdrt.pipeline.results import Result

__all__ = ["Output"]


@dataclass(frozen=True)
class Output:
    """A place for pictures.

    Parameters
    ----------
    path : Path
    is_file : bool
        Whether it is the file of the one picture, and not a folder.
    """

    path: Path
    is_file: bool

    @classmethod
    def parse(cls, path: Path, num_prompts: int) -> Self:
        """Return the place that ``-o`` means.

        Raises
        ------
        ConfigError : a picture of another kind, standard output, or one file for several prompts
        """
        from sdrt.images.files import OTHER_PICTURES, file_name

        ending = path.suffix.lower()
        if str(path) == "-":
            raise ConfigError("-o must be a folder, or a file ending in .png, got '-'; pictures are not written to standard output")
        if ending in OTHER_PICTURES and not os.path.isdir(path):  # noqa: PTH112 -- it is False for a name that cannot be, where Path raises
            raise ConfigError(f"-o must be a folder, or a file ending in .png, got {path}; write PNG, which carries the settings")
        if ending == ".png" and num_prompts > 1:
            raise ConfigError(f"-o must be a folder for {num_prompts} prompts, got the file {path}; pass a folder")
        return cls(file_name(path) if ending == ".png" else path, ending == ".png")

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Check that pictures can be written, and make the folder; one that stays empty is removed again.

        Raises
        ------
        ImageError : they cannot
        """
        from sdrt.images.files import check_file, check_folder, make_folder

        made: list[Path] = []
        try:
            with signals.deferred():
                if self.is_file:
                    check_file(self.path)
                else:
                    made = make_folder(self.path)
                    check_folder(self.path)
            yield
        finally:
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()

    def save(self, result: "Result") -> list[Path]:
        """Write the images of a result; returns the files, in their order.

        The one file that ``-o`` names replaces an older one; every other takes the first name that is free.

        Raises
        ------
        ImageError : a file cannot be written
        """
        if not self.is_file:
            return result.save(self.path)
        from sdrt.images import save_new_png, save_png
        from sdrt.records import text_chunks

        texts = [text_chunks(result.settings, seed) for seed in result.seeds]
        if len(texts) == 1:
            save_png(result.images[0], self.path, texts[0])
            return [self.path]
        names = [self.path.with_suffix(f".{seed}.png") for seed in result.seeds]
        return [save_new_png(*each) for each in zip(result.images, names, texts, strict=True)]

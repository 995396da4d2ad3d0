"""Which pictures of a folder are finished: each is known by the record inside it, whatever its file is called."""

import json
import os
from pathlib import Path
from typing import Any

from sdrt.errors import SdrtError
from sdrt.images.saving import format_of
from sdrt.records import Settings, read_record
from sdrt.records.upscaled import UPSCALED

__all__ = ["Finished", "key_of"]

# Fields of a record that decide no pixel: what was said of the call, and by which version.
_ASIDE = ("format", "remarks", "version")


def key_of(settings: Settings) -> str:
    """Return what two records have in common exactly if they draw the same picture."""
    record: dict[str, Any] = settings.to_dict()
    return json.dumps({name: value for name, value in record.items() if name not in _ASIDE}, sort_keys=True)


class Finished:
    """The pictures of a folder by their records; files that came since are read at each look.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[str] = set()
        self._files: dict[str, Path] = {}

    def find(self, settings: Settings) -> list[Path | None]:
        """Return the file of each image of a call; None for one that is not drawn yet."""
        self._look()
        return [self._files.get(key_of(settings.alone(k))) for k in range(settings.num_images)]

    def _look(self) -> None:
        with os.scandir(self._folder) as entries:
            names = [entry.name for entry in entries if entry.name not in self._seen and not entry.name.startswith(".")]
        for name in sorted(names):
            self._seen.add(name)
            file = self._folder / name
            if format_of(file) is not None:
                try:
                    settings = Settings.from_dict(read_record(file))
                except SdrtError:
                    # a picture of something else, or a damaged one
                    continue
                # what was enlarged since is another picture than its record draws
                if not settings.shared_streams and UPSCALED not in settings.remarks:
                    self._files.setdefault(key_of(settings), file)

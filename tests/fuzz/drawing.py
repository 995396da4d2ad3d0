"""What a generator draws its case from: seeded choices, a scratch folder, and notes that say what was drawn."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from tests.fuzz.materials import Materials

T = TypeVar("T")


class Found(Exception):
    """A generator saw misbehaviour that is no exception, such as what a command printed.

    Parameters
    ----------
    column : str
        One of `tests.fuzz.judging.COLUMNS`.
    detail : str
    """

    def __init__(self, column: str, detail: str) -> None:
        super().__init__(detail)
        self.column = column


class Draw(random.Random):
    """Choices of one case, the same for the same case on every machine.

    Parameters
    ----------
    case : str
        ``NAME/SEED/INDEX``.
    place : Path
        An empty folder of the case's own.
    materials : Materials
        Sound files, not to be changed.
    """

    def __init__(self, case: str, place: Path, materials: Materials) -> None:
        super().__init__(case)
        self.place = place
        self.materials = materials
        self.notes: list[str] = []

    def __new__(cls, *_: object) -> "Draw":
        # random.Random would seed itself with the first argument alone, and refuses the others
        return super().__new__(cls)

    def note(self, text: str) -> None:
        self.notes.append(ascii(text)[1:-1][:300])

    def chance(self, share: float) -> bool:
        return self.random() < share

    def some(self, values: Sequence[T], most: int) -> list[T]:
        """From one to ``most`` of the values, each once."""
        return self.sample(list(values), self.randint(1, min(most, len(values))))

    def copy_of(self, source: Path) -> Path:
        """A copy of a folder or file whose files are links: replace one (`overwrite`), and never write into it."""
        target = self.place / source.name
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_link)
        else:
            _link(str(source), str(target))
        return target


def overwrite(file: Path, data: bytes) -> None:
    """Put other content under a name; the file that it linked to stays as it is."""
    file.unlink(missing_ok=True)
    file.write_bytes(data)


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)

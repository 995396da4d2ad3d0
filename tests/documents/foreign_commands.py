"""The table of another program's commands in a document: theirs, ours, and what is different."""

import re
import shlex
from dataclasses import dataclass

from tests.documents.blocks import read

_ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| ?(.*?) ?\|$", re.MULTILINE)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class ForeignCommand:
    """A row.

    Parameters
    ----------
    section : str
        The heading above the table.
    theirs, ours, remarks : str
    """

    section: str
    theirs: str
    ours: str
    remarks: str

    @property
    def refused(self) -> bool:
        """Whether the row says that sdrt has no such command."""
        return self.remarks.startswith("Refused: ")

    def argv(self, placeholders: dict[str, str]) -> list[str]:
        """The words of our command after ``sdrt``, each placeholder such as ``<output-dir>`` replaced."""
        text = re.sub(r"<[^<>]+>", lambda match: shlex.quote(placeholders[match[0]]), self.ours)
        program, *words = shlex.split(text)
        assert program == "sdrt", self.ours
        return words

    def __str__(self) -> str:
        return self.ours


def commands_of(document: str) -> list[ForeignCommand]:
    """Read the rows of every table with three columns whose first two are commands."""
    text = read(document)
    headings = [(match.start(), match[1]) for match in _HEADING.finditer(text)]
    return [
        ForeignCommand(next(title for start, title in reversed(headings) if start < match.start()), *match.groups())
        for match in _ROW.finditer(text)
    ]

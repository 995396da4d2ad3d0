"""The code blocks of the documents, and the commands in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")))


@dataclass(frozen=True)
class Block:
    """A block between fences.

    Parameters
    ----------
    document, language, text : str
    line : int
        Of its first line in the document.
    """

    document: str
    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def commands_to_type(self) -> list[list[str]]:
        """The words of each command of a shell block, comments left out; ``;`` and ``&&`` end one."""
        if self.language != "sh":
            return []
        commands: list[list[str]] = []
        for line in self.text.replace("\\\n", " ").splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars=";&|")
            words.whitespace_split = True
            commands.append([])
            for word in words:
                if word in (";", "&&"):
                    commands.append([])
                else:
                    commands[-1].append(word)
        return [command for command in commands if command]


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks_of(document: str) -> list[Block]:
    text = read(document)
    assert text.count("\n```") % 2 == 0, f"{document}: a fence has no end"
    return [
        Block(document, match[1], match[2], text.count("\n", 0, match.start(2)) + 1)
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]

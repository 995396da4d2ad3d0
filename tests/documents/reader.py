"""Somebody who types what a document says.

What a command names and cannot be downloaded here is a stand-in of that name. A command that is not run is listed with the reason.
"""

import tomllib
from pathlib import Path
from typing import Any

from converter import cli as converter_cli
from sdrt import cli
from tests.documents.blocks import Block

# The first words of commands that are not run, and why.
NOT_RUN = {
    "python3 -m venv": "makes an environment; .ci/run runs the same line",
    ".venv/bin/pip install": "installs packages; .ci/run runs the same line",
    ".venv/bin/python -m pytest": "these tests themselves",
    "pip install": "installs packages",
    "pytest --sdrt": "checks ports that nobody has; tests/testing/test_plugin.py runs such commands",
    "xcrun": "needs a Mac with Xcode",
}


class Reader:
    """Somebody who types what a document says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {}

    def run(self, block: Block) -> None:
        match block.language:
            case "python":
                exec(compile("\n" * (block.line - 1) + block.text, block.document, "exec"), self.names)  # noqa: S102 our own document
            case "sh":
                for command in block.commands_to_type:
                    self.type(command)
            case "toml":
                tomllib.loads(block.text)
            case language:
                assert language == "text", f"{block}: nobody runs {language or 'a block without a language'}"

    def type(self, command: list[str]) -> None:
        if reason_not_to_run(command):
            return
        program, *arguments = command
        if program.removeprefix(".venv/bin/") == "sdrt":
            status = status_of(cli.main, arguments)
        else:
            assert command[:3] == ["python", "-m", "converter"], f"not run, and no reason is listed: {' '.join(command)}"
            status = status_of(converter_cli.main, command[3:])
        assert status == 0, " ".join(command)


def status_of(main: Any, arguments: list[str]) -> Any:
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


def reason_not_to_run(command: list[str]) -> str:
    line = " ".join(command)
    return next((reason for words, reason in NOT_RUN.items() if line.startswith(words)), "")

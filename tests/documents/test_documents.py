"""Every block of the documents is run as a reader would: in one empty folder for each document, in order, on the smallest models.

What a command names and cannot be downloaded here is a stand-in of that name. A command that is not run is listed with the reason.
"""

import tomllib
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from converter import cli as converter_cli
from sdrt import cli
from tests.documents.blocks import DOCUMENTS, Block, blocks_of, read
from tests.documents.stand_ins import make, make_cache

# The first words of commands that are not run, and why.
NOT_RUN = {
    "python3 -m venv": "makes an environment; .ci/run runs the same line",
    ".venv/bin/pip install": "installs packages; .ci/run runs the same line",
    ".venv/bin/python -m pytest": "these tests themselves",
    "pip install": "installs packages",
    "xcrun": "needs a Mac with Xcode",
}
# How many such commands the documents hold: whoever writes one more says so here.
COUNT_NOT_RUN = {"README.md": 6, "docs/faq.md": 2, "docs/real-models.md": 1}

BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


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


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    return {}


@pytest.fixture
def reader(
    request: pytest.FixtureRequest, readers: dict[str, Reader], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Reader:
    document = request.node.callspec.params["block"].document
    if document not in readers:
        readers[document] = Reader(tmp_path_factory.mktemp("reader"))
        make(readers[document].folder, read(document))
        make_cache(readers[document].folder / "hub")
    reader = readers[document]
    monkeypatch.chdir(reader.folder)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(reader.folder / "hub"))
    return reader


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_runs(block: Block, reader: Reader) -> None:
    reader.run(block)


def test_what_is_not_run_is_counted() -> None:
    left_out = {
        document: sum(bool(reason_not_to_run(command)) for block in blocks_of(document) for command in block.commands_to_type)
        for document in DOCUMENTS
    }
    assert {document: count for document, count in left_out.items() if count} == COUNT_NOT_RUN


def test_every_document_is_read() -> None:
    names = ("README.md", "docs/faq.md", "docs/how-to-add.md", "docs/limits.md", "docs/real-models.md")
    assert {block.document for block in BLOCKS} == set(names)
    assert sum(len(block.commands_to_type) for block in BLOCKS) > 30
    assert not [str(block) for block in BLOCKS if block.language == "python" and not uncommented(block.text)]


def uncommented(code: str) -> list[str]:
    """Return the lines of a block that do something besides importing."""
    return [line for line in code.splitlines() if line.strip() and not line.startswith(("#", "import ", "from "))]


def test_a_wrong_command_is_noticed(reader_in: Reader) -> None:
    for text in ("sdrt generate --no-such-flag", "sdrt inspect nowhere.png", "python -m converter --convert-unet --model-version nowhere"):
        with pytest.raises(AssertionError):
            reader_in.run(Block("x.md", "sh", text, 1))
    with pytest.raises(AssertionError, match="no reason is listed"):
        reader_in.run(Block("x.md", "sh", "rm -rf folder", 1))


@pytest.fixture
def reader_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.chdir(tmp_path)
    return Reader(tmp_path)

"""Every block of the documents but the FAQ (`test_faq.py`) is run as a reader would."""

import pytest

from tests.documents.blocks import DOCUMENTS, Block, blocks_of
from tests.documents.reader import Reader, reason_not_to_run

# How many such commands the documents hold: whoever writes one more says so here.
COUNT_NOT_RUN = {
    "README.md": 7,
    "docs/check-your-port.md": 1,
    "docs/faq.md": 2,
    "docs/hub.md": 1,
    "docs/real-models.md": 1,
    "docs/testing.md": 4,
}

BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.document != "docs/faq.md"], ids=str)
def test_a_block_runs(block: Block, reader: Reader) -> None:
    reader.run(block)


def test_what_is_not_run_is_counted() -> None:
    left_out = {
        document: sum(bool(reason_not_to_run(command)) for block in blocks_of(document) for command in block.commands_to_type)
        for document in DOCUMENTS
    }
    assert {document: count for document, count in left_out.items() if count} == COUNT_NOT_RUN


def test_every_document_is_read() -> None:
    names = (
        "README.md",
        "docs/check-your-port.md",
        "docs/command-line.md",
        "docs/compare.md",
        "docs/exact.md",
        "docs/faq.md",
        "docs/how-to-add.md",
        "docs/hub.md",
        "docs/jobs.md",
        "docs/limits.md",
        "docs/real-models.md",
        "docs/recordings.md",
        "docs/refinements.md",
        "docs/stable-diffusion-cpp.md",
        "docs/testing.md",
        "docs/vectors.md",
        "docs/why-two-seeds-differ.md",
    )
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

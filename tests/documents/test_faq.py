"""Every block of the FAQ is run: most of the conversions. A file of its own lets two workers share the documents."""

import pytest

from tests.documents.blocks import Block, blocks_of
from tests.documents.reader import Reader


@pytest.mark.parametrize("block", blocks_of("docs/faq.md"), ids=str)
def test_a_block_runs(block: Block, reader: Reader) -> None:
    reader.run(block)

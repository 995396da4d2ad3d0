"""A reader for each document: one empty folder, in which its blocks are run in order, on the smallest models."""

from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.documents.blocks import read
from tests.documents.reader import Reader
from tests.documents.stand_ins import make, make_cache


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


@pytest.fixture
def reader_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.chdir(tmp_path)
    return Reader(tmp_path)

"""A reader for each document: one empty folder, in which its blocks are run in order, on the smallest models and the tests' own Hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.blocks import read
from tests.documents.reader import Reader
from tests.documents.stand_ins import fill, make
from tests.hub_repository import apple_files
from tests.hub_server import HubServer, point_client_at

APPLES = "apple/coreml-stable-diffusion-v1-4"


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    return {}


@pytest.fixture(scope="module")
def documents_hub() -> Iterator[HubServer]:
    """A Hub that is filled as documents name repositories."""
    with HubServer() as server:
        yield server


@pytest.fixture
def reader(
    request: pytest.FixtureRequest,
    readers: dict[str, Reader],
    documents_hub: HubServer,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Reader:
    document = request.node.callspec.params["block"].document
    text = read(document)
    if document not in readers:
        readers[document] = Reader(tmp_path_factory.mktemp("reader"))
        make(readers[document].folder, text)
        fill(documents_hub, tmp_path_factory.mktemp("repositories"), text)
    if document == "docs/hub.md" and f"models/{APPLES}" not in documents_hub.store.repositories:
        packages: Path = request.getfixturevalue("nano_packages")
        documents_hub.add(APPLES, apple_files(packages={"original/packages": packages / "Resources"}))
    reader = readers[document]
    monkeypatch.chdir(reader.folder)
    point_client_at(documents_hub, reader.folder / "hub", monkeypatch)
    return reader


@pytest.fixture
def reader_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.chdir(tmp_path)
    return Reader(tmp_path)

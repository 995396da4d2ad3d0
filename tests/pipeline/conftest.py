"""A small model whose networks answer at once, for tests of what stands around the networks."""

from pathlib import Path

import pytest

import sdrt
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1")


@pytest.fixture(scope="module")
def pipe(folder: Path) -> sdrt.Pipeline:
    return sdrt.load(folder, FakeBackend())

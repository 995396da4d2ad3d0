"""A small model with random weights, on numpy and on torch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import sdrt
from sdrt.pipeline.pipeline import Pipeline
from tests.factories import save_pipeline_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("compare") / "tiny")


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Iterator[Pipeline]:
    with sdrt.load(folder, "numpy") as opened:
        yield opened


@pytest.fixture(scope="module")
def torch_pipe(folder: Path) -> Iterator[Pipeline]:
    with sdrt.load(folder, "torch") as opened:
        yield opened

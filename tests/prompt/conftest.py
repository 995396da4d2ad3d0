"""Models shared by several tests; tests must not write to them."""

from pathlib import Path

import pytest

import sdrt
from sdrt.tokenizer import ClipTokenizer
from tests.factories import Form, save_pipeline_folder


@pytest.fixture(scope="session")
def clip() -> ClipTokenizer:
    return ClipTokenizer.clip()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    root = tmp_path_factory.mktemp("models")
    return {"sd1": save_pipeline_folder(root / "sd1", "sd1"), "sd2": save_pipeline_folder(root / "sd2", "sd2")}


@pytest.fixture(scope="session")
def pipe(models: dict[Form, Path]) -> sdrt.Pipeline:
    return sdrt.load(models["sd1"])

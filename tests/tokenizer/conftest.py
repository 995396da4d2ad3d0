"""Tokenizers shared by several tests: both are slow to open, and neither changes."""

from pathlib import Path
from typing import Any

import pytest

from sdrt.tokenizer import ClipTokenizer
from tests.tokenizer.peer import TINY, clip_files, open_peer, write_folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("clip"), clip_files())


@pytest.fixture(scope="session")
def peer(clip_folder: Path) -> Any:
    return open_peer(clip_folder)


@pytest.fixture(scope="session")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer.clip()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("tiny"), TINY)

"""A model folder and a checkpoint that tests may damage."""

import shutil
from pathlib import Path

import pytest

from tests.factories import save_pipeline_folder
from tests.models.families import narrow, save_original


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by form, written once."""
    root = tmp_path_factory.mktemp("pristine")
    return {
        "sd1": save_pipeline_folder(root / "sd1", "sd1", safety_checker=True),
        "sdxl": save_pipeline_folder(root / "sdxl", "sdxl"),
        "sdxl-refiner": save_pipeline_folder(root / "sdxl-refiner", "sdxl-refiner"),
    }


@pytest.fixture
def folder(pristine: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine["sd1"], tmp_path / "model"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 1.x in one file, small and random. Not to be changed."""
    return save_original(narrow("sd1"), tmp_path_factory.mktemp("checkpoint") / "sd1.safetensors")

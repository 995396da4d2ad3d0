"""Whole random models, written once a run."""

from pathlib import Path

import pytest
import torch

from tests.models import Form, save_pipeline_folder

# The models are tiny: torch's own threads would only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    """A model folder in each form; tests must not write there."""
    root = tmp_path_factory.mktemp("models")
    return {"sd1": save_pipeline_folder(root / "sd1", "sd1"), "sd2": save_pipeline_folder(root / "sd2", "sd2")}

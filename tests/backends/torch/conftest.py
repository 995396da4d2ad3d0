"""One small model, written once a run."""

from pathlib import Path

import pytest
import torch

from tests.backends.cases import save_parts

# The models are tiny: torch's own threads would only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 1.x in small; tests must not write there."""
    return save_parts(tmp_path_factory.mktemp("torch") / "sd1", "sd1")

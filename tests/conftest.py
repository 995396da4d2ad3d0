"""Settings for every test: no network, and fixed hypothesis examples in CI."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.nano_packages import shared_packages

if TYPE_CHECKING:
    from tests.hub_server import HubServer

# No test asks the network; the Hub's client reads this when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"

# The peers' models are tiny here: a second thread costs more in waiting than it computes.
torch.set_num_threads(1)

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ)
settings.load_profile("default")


@pytest.fixture(scope="session")
def nano_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Core ML packages of nano, made when first asked for: see `tests.nano_packages`. Tests must not change them."""
    return shared_packages(tmp_path_factory.getbasetemp())


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave what is imported by now out of the garbage collector's rounds.

    Conversions make so many objects that walking torch, coremltools and all tests again and again took a tenth of the suite's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[HubServer]":
    """A Hub of the test's own, which the real client asks: an empty cache in ``tmp_path / "hub-cache"``, and nobody's token."""
    from huggingface_hub import close_session

    from tests.hub_server import HubServer, point_client_at

    with HubServer() as server:
        point_client_at(server, tmp_path / "hub-cache", monkeypatch)
        yield server
        close_session()

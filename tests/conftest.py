"""Settings for every test: no network, and fixed hypothesis examples in CI."""

import gc
import os

import pytest
import torch
from hypothesis import HealthCheck, settings

# No test asks the network; the Hub's client reads this when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"

# The peers' models are tiny here: a second thread costs more in waiting than it computes.
torch.set_num_threads(1)

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ)
settings.load_profile("default")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave what is imported by now out of the garbage collector's rounds.

    Conversions make so many objects that walking torch, coremltools and all tests again and again took a tenth of the suite's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)

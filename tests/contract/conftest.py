"""Which backends the suite runs over, and the models that it opens.

    python -m pytest tests/contract --backend mine --bound 1e-3

runs it over a plug-in by the name of its entry point; without ``--backend`` it runs over those that are built in. A backend that opens
packages has no weights to compare with: coreml's pictures, rows and faults are held to the numpy backend's in
tests/pipeline/test_coreml_folders.py.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdrt.backends import registry
from tests.contract.cases import save_parts
from tests.factories import UNETS, Form


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend_name" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption("backend")
    names = [asked] if asked else [row.name for row in registry.status() if row.origin == "built in" and row.name != "coreml"]
    metafunc.parametrize("backend_name", names, scope="session")


@pytest.fixture(scope="session", autouse=True)
def _caches_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a backend keeps between runs, it keeps where this run ends."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def bound(request: pytest.FixtureRequest) -> float:
    """How far a float32 result may stand from the numpy backend's, of the largest value."""
    return float(request.config.getoption("bound"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    """Every form of model with every component that goes with it; tests must not write there."""
    root = tmp_path_factory.mktemp("contract")
    return {form: save_parts(root / form, form) for form in UNETS}

"""sdrt's own backends have no fault; those that take minutes are marked slow."""

import pytest

from sdrt.arrays import Numerics
from sdrt.backends import registry
from sdrt.errors import ConfigError
from sdrt.testing import check_backend
from sdrt.testing.networks import check
from sdrt.testing.networks.cases import Case
from sdrt.testing.networks.trials import settings_of

# OpenVINO compiles every component, and rounds more: 1e-3 is what its own tests allow.
WHOLE: tuple[tuple[str, Numerics, float | None], ...] = (
    ("numpy", "float32", None),
    ("numpy", "float64", None),
    ("numpy", "exact", None),
    ("torch", "float32", None),
    ("torch", "float64", None),
    ("openvino", "float32", None),
)


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "numerics", "bound"), WHOLE)
def test_no_network_has_a_fault(backend: str, numerics: Numerics, bound: float | None) -> None:
    if not any(row.name == backend and row.problem is None for row in registry.status()):
        pytest.skip(f"{backend} is not installed")
    assert check_backend(backend, numerics=numerics, bound=bound) == []


CASES = [
    ("numpy", Case("lcm", "unet")),
    ("numpy", Case("sd1", "controlnet")),
    ("numpy", Case("sd1", "vae_decoder")),
    ("numpy", Case("sdxl", "text_encoder_2")),
    ("torch", Case("sdxl", "unet")),
    ("torch", Case("sd1", "vae_encoder")),
    ("torch", Case("sd1", "safety_checker")),
]


@pytest.mark.parametrize(("backend", "case"), CASES, ids=str)
def test_small_calls_have_no_fault(backend: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of network, whole in its conduct; its larger calls are among the slow ones."""
    monkeypatch.setattr(check, "CASES", (case,))
    monkeypatch.setattr(check, "settings_of", lambda case: [each for each in settings_of(case) if each[1].pixels <= 150])
    assert check_backend(backend) == []


def test_a_backend_of_packages_opens_no_weights() -> None:
    """Its networks are held to those of the packages' source in tests/pipeline/test_coreml_folders.py."""
    [fault] = check_backend("coreml")
    assert fault.kind == "opens_nothing"
    assert "Core ML" in fault.message


def test_what_is_refused_by_name_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = check_backend("coreml", components=["safety_checker"])
    assert [fault.kind for fault in faults] == ["component_refused"]


def test_what_is_no_backend_is_refused() -> None:
    for call in (
        lambda: check_backend("none of these"),
        lambda: check_backend("numpy", components=["brain"]),
        lambda: check_backend("numpy", components=["safety_checker"], bound=-1),
    ):
        with pytest.raises(ConfigError):
            call()
